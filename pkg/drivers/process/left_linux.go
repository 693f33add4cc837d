package process

import (
	"fmt"

	"reconciler.dev/reconciler/internal/layout"
	"reconciler.dev/reconciler/internal/procfs"
	"reconciler.dev/reconciler/pkg/spec"
)

// Left returns the daemons of which a driver of that kind, with trees of NewWith, may have processes on this machine though it can't be used now: those with a record of
// this boot that doesn't say that nothing of them is left, and those whose record can't be read.
func Left(dirs layout.Dirs, kind spec.DriverKind) (left []string, err error) {
	boot, err := procfs.BootID()
	if err != nil {
		return nil, fmt.Errorf("find what driver %s has left: %w", kind, err)
	}
	s := newStore(dirs, kind)
	names, err := s.names()
	if err != nil {
		return nil, fmt.Errorf("find what driver %s has left: %w", kind, err)
	}
	for _, name := range names {
		rec, err := s.read(name)
		if err != nil || rec != nil && rec.mayRun(boot) {
			left = append(left, name)
		}
	}
	return left, nil
}

// mayRun says whether a record alone allows for a living process of the daemon.
func (r *record) mayRun(boot string) bool {
	begun := r.Intent != nil && r.By != nil && r.By.BootID == boot
	ran := r.Instance != nil && r.Instance.BootID == boot && !r.Gone
	return begun || ran
}
