// Package docs runs the commands that the documents tell people to type, as they are written there.
package docs
