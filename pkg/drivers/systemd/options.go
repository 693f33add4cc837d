package systemd

import "reconciler.dev/reconciler/internal/layout"

// Options are what a driver needs to know.
type Options struct {
	// Dirs are where notes, locks, secrets and logs are. Unit files are where the service manager looks for them.
	Dirs layout.Dirs
}
