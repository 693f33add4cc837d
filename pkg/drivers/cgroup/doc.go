// Package cgroup runs daemons as package process does, each in a leaf of its own in the tree of cgroup v2: the leaf holds the daemon's whole tree of processes, limits it,
// and kills it at a stroke. It needs Linux 5.7, a mounted cgroup2 file system, and a part of it that it may write: as root on a machine without systemd all of it, else what
// was delegated. See cgroups(7) and Documentation/admin-guide/cgroup-v2.rst.
//
// A leaf is marked, before its first process, with who it is for; so a daemon whose record is lost is found again by its leaf, and is never started twice. Controllers are
// enabled where they can be, and what isn't enforced is said.
//
// It must never write above or beside the part that is ours, never touch a cgroup without our mark, never move a process but its own, and never believe that a limit is enforced
// because it was written.
package cgroup
