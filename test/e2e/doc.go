// Package e2e shows the program at work as people use it: the real binary, on this machine, with real daemons. A crash matrix kills it at every step
// boundary; other tests run many of it at once, pull the ground from under it, and hold its command line to what is promised.
//
// Each test has a machine of its own: a directory, an instance of reconciler that keeps everything below it, and a mark that every process it starts
// inherits. At its end nothing with that mark may be alive. Nothing else is ever signalled.
package e2e
