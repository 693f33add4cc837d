package cgroup

import (
	"reconciler.dev/reconciler/internal/layout"
	"reconciler.dev/reconciler/internal/spawn"
)

// Options are what a driver needs to know.
type Options struct {
	// Dirs are where records, locks and logs are. Leaves made with other Dirs are not ours.
	Dirs layout.Dirs
	// Spawner starts the processes; nil: one of its own.
	Spawner *spawn.Spawner
	// Below is a cgroup that is ours, as in /a/b below the mount, to work in instead of the one that is found.
	Below string
}
