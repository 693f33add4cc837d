package process

import (
	"reconciler.dev/reconciler/internal/layout"
	"reconciler.dev/reconciler/internal/spawn"
)

// Options are what a driver needs to know.
type Options struct {
	// Dirs are where records, locks and logs are.
	Dirs layout.Dirs
	// Spawner starts the processes; nil: one of its own.
	Spawner *spawn.Spawner
}
