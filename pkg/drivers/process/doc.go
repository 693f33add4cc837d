// Package process runs daemons as plain detached processes: a session of their own, stdin from /dev/null, stdout and stderr appended to a file, and one record
// each that says which process it is. It needs Linux 5.3 and nothing else: no init system, no cgroup, no root.
//
// A process is known by its tag (see internal/procfs), which it and all its descendants carry from their first instant; its main process also by number, start time
// and boot id. The record with the tag is written before the fork, so that whoever comes after a crash finds what was started, and starts no second copy.
//
// It must never signal a process whose identity isn't proved, signal by number, take an unreadable record for an absent one, or restart anything by itself.
package process
