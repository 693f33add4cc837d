package drivers

import (
	"context"
	"fmt"
	"slices"
	"time"

	"reconciler.dev/reconciler/internal/failpoint"
	"reconciler.dev/reconciler/internal/layout"
	"reconciler.dev/reconciler/pkg/spec"
)

// pauses remembers users' stops, so that they outlive a reboot as well.
type pauses struct {
	driver Driver
	dirs   layout.Dirs
	book   *pauseBook
}

func newPauses(d Driver, dirs layout.Dirs) *pauses {
	return &pauses{d, dirs, &pauseBook{dirs: dirs, file: pausedBook}}
}

// fill fills in Paused. Where the book of pauses can't be read everybody counts as paused, because starting what a user stopped is the worse mistake.
func (p *pauses) fill(found []spec.Observed) {
	paused, err := p.book.read()
	for i := range found {
		at, there := paused[found[i].Name]
		if err != nil {
			at, there = spec.Pause{By: "unreadable " + p.book.path()}, true
		}
		if there {
			found[i].Paused = &at
			found[i].Drift = slices.DeleteFunc(found[i].Drift, func(d spec.Drift) bool { return d.Field == DriftAtBoot })
		}
	}
}

// pause remembers a pause. What is paused isn't started at boot either. A crash in between leaves what isn't paused and wouldn't be started at boot: that is drift, and mended.
func (p *pauses) pause(ctx context.Context, step spec.Step) error {
	return p.locked(ctx, step, func() error {
		known, err := knows(ctx, p.driver, step.Name)
		switch {
		case err != nil:
			return err
		case step.Instance != "" && !known:
			return fmt.Errorf("it was planned against %s and there is nothing of that name: %w", instance(step.Instance), ErrMoved)
		}
		if err := p.atBoot(ctx, step.Name, false); err != nil {
			return err
		}
		failpoint.Hit(failpoint.PauseIntended)
		if err := p.book.set(ctx, step.Name, &spec.Pause{At: time.Now(), By: step.By}); err != nil {
			return err
		}
		return p.unlisten(ctx, step.Name)
	})
}

// resume forgets it.
func (p *pauses) resume(ctx context.Context, step spec.Step) error {
	return p.locked(ctx, step, func() error {
		if err := p.book.set(ctx, step.Name, nil); err != nil {
			return err
		}
		failpoint.Hit(failpoint.PauseForgotten)
		return p.atBoot(ctx, step.Name, true)
	})
}

// stopped is for after a stop: what was paused while it ran, or shall stay stopped, isn't listened for any more.
func (p *pauses) stopped(ctx context.Context, step spec.Step) error {
	if step.Stay {
		return p.locked(ctx, step, func() error {
			if err := p.atBoot(ctx, step.Name, false); err != nil {
				return err
			}
			return p.closeHeld(ctx, step.Name)
		})
	}
	if some, err := p.listens(ctx, step.Name); err == nil && !some {
		return nil
	}
	return p.locked(ctx, step, func() error { return p.unlisten(ctx, step.Name) })
}

// stamped is for after a stamp, which has the platform start the daemon at boot.
func (p *pauses) stamped(ctx context.Context, step spec.Step) error {
	if paused, err := p.book.read(); err == nil && paused[step.Name] == (spec.Pause{}) {
		return nil
	}
	return p.locked(ctx, step, func() error { return p.atBoot(ctx, step.Name, false) })
}

func (p *pauses) locked(ctx context.Context, step spec.Step, f func() error) error {
	return underLock(ctx, p.dirs, step, "daemon", f)
}

// atBoot has the platform start the daemon at boot, or not, where that is what it does.
func (p *pauses) atBoot(ctx context.Context, name string, start bool) error {
	b, ok := Find[Booter](p.driver)
	if !ok {
		return nil
	}
	return b.AtBoot(ctx, name, start)
}

// listens tells whether sockets may be held for a daemon. Of most there are none, and a stop of those is to cost nothing more.
func (p *pauses) listens(ctx context.Context, name string) (bool, error) {
	l, ok := Find[Listening](p.driver)
	if !ok {
		return false, nil
	}
	return l.Listens(ctx, name)
}

// unlisten closes the sockets that are held for a daemon that is paused and doesn't run.
func (p *pauses) unlisten(ctx context.Context, name string) error {
	if some, err := p.listens(ctx, name); err != nil || !some {
		return err
	}
	paused, err := p.book.read()
	if err != nil || paused[name] == (spec.Pause{}) {
		return nil // nobody is known to have stopped it: whoever connects waits
	}
	return p.closeHeld(ctx, name)
}

// closeHeld closes the sockets that are held for a daemon, unless it runs.
func (p *pauses) closeHeld(ctx context.Context, name string) error {
	l, ok := Find[Listening](p.driver)
	if !ok {
		return nil
	}
	o, err := observeOne(ctx, p.driver, name)
	if err != nil || o.State != spec.Exited && o.State != spec.Absent {
		return err
	}
	return l.Unlisten(ctx, name)
}
