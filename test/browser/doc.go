// Package browser drives a headless Chromium for tests and measurements, over the pipe of the DevTools protocol (https://chromedevtools.github.io/devtools-protocol/). It must
// never talk to anything but what a test opens in it, nor leave a process or a file behind.
package browser
