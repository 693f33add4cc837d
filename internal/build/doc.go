// Package build makes programs from sources, by commands that manifests name, and knows when that has to be done again: when what it was made from, the command, its environment
// or its compiler changed, by content and never by time.
//
// It must never run two commands in one folder at a time, leave a process behind that it gave up, or pass a command through a shell. It changes nothing but its own records: what the command
// does to the folder is the command's business, and nothing that runs executes what lies there.
package build
