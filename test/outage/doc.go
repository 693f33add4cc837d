// Package outage shows what those who use a daemon see while it is rebuilt, killed and rolled back: a daemon that the program under test keeps, under load. It is what a user would do, with
// commands and files, and looks at the daemon from outside only.
//
// It must never count for more than the load did: what it asks itself is in no figure.
package outage
