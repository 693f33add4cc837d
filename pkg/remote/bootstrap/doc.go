// Package bootstrap sees to it that a host has the agent that this controller needs, and starts it: it runs the file that is named by its content, and where that isn't
// there, finds out what the host is, copies the agent's program to it, and tries again. What stands in the way is told as one Problem that says what was found and
// what to do next.
//
// A host that has its agent is asked for one command and nothing else. Everything else is done by two constant scripts for /bin/sh, which every login shell hands on
// alike, and what varies travels over their stdin.
//
// It must never put anything that a user, a manifest or a host wrote into the text of a command (a configured path is checked first), never run two commands of one
// host at a time, never wait without a deadline, never take away or half-write an agent that somebody may be running, and never let the far side's text into a message
// uncleaned.
package bootstrap
