// Package procfs reads what Linux tells about processes: see proc(5). It finds the processes that carry a tag, and tells one process from a later
// one of the same number.
//
// It must never signal or change a process. What it reads is under the control of the processes it reads about (their names, for one), so nothing here
// trusts a name.
package procfs
