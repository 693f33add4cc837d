// Package spawn starts processes. It is the only place of the program that forks, because a fork copies attributes of this process which belong to one
// child only: the tag by which the members of a daemon's tree are known.
//
// It must never pass anything through a shell, let a child inherit a descriptor, a signal disposition or a tag that isn't meant for it, or show the
// environment or arguments of a child to anybody else.
package spawn
