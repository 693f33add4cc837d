package drivers

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"time"

	"reconciler.dev/reconciler/internal/failpoint"
	"reconciler.dev/reconciler/internal/layout"
	"reconciler.dev/reconciler/pkg/spec"
)

// pauses remembers users' stops, so that they outlive a reboot as well.
type pauses struct {
	Driver
	dirs layout.Dirs
	book *pauseBook
}

func withPauses(d Driver, dirs layout.Dirs) Driver {
	return &pauses{d, dirs, &pauseBook{dirs: dirs, file: pausedBook}}
}

// Unwrap is for Find.
func (p *pauses) Unwrap() Driver { return p.Driver }

// Observe fills in Paused. Where the book of pauses can't be read everybody counts as paused, because starting what a user stopped is the worse mistake.
func (p *pauses) Observe(ctx context.Context, names ...string) ([]spec.Observed, error) {
	found, err := p.Driver.Observe(ctx, names...)
	if err != nil {
		return nil, err
	}
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
	return found, nil
}

// Watch is the driver's, and also tells of daemons that were paused or resumed: nothing happens to a process then.
func (p *pauses) Watch(ctx context.Context, changed func(name string)) error {
	return p.book.watchBeside(ctx, p.Driver, changed)
}

// Apply does Pause and Resume, and forgets the pause of what is removed. What is paused isn't started at boot either. A crash in between leaves what isn't paused
// and wouldn't be started at boot: that is drift, and mended.
func (p *pauses) Apply(ctx context.Context, step spec.Step) error {
	switch step.Verb {
	case spec.VerbPause:
		return p.change(ctx, step, func() error {
			known, err := knows(ctx, p.Driver, step.Name)
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
	case spec.VerbStop:
		if err := p.Driver.Apply(ctx, step); err != nil {
			return err
		}
		if some, err := p.listens(ctx, step.Name); err == nil && !some {
			return nil
		}
		return p.change(ctx, step, func() error { return p.unlisten(ctx, step.Name) })
	case spec.VerbResume:
		return p.change(ctx, step, func() error {
			if err := p.book.set(ctx, step.Name, nil); err != nil {
				return err
			}
			failpoint.Hit(failpoint.PauseForgotten)
			return p.atBoot(ctx, step.Name, true)
		})
	case spec.VerbStamp:
		if err := p.Driver.Apply(ctx, step); err != nil {
			return err
		}
		if paused, err := p.book.read(); err == nil && paused[step.Name] == (spec.Pause{}) {
			return nil
		}
		return p.change(ctx, step, func() error { return p.atBoot(ctx, step.Name, false) })
	case spec.VerbRemove:
		// The pause goes first: were it left behind by a crash, it would stop a daemon that is made later under the same name.
		err := p.change(ctx, step, func() error {
			o, err := observeOne(ctx, p.Driver, step.Name)
			if err != nil || !removable(step, o) {
				return err
			}
			return p.book.set(ctx, step.Name, nil)
		})
		if err != nil {
			return err
		}
		return p.Driver.Apply(ctx, step)
	default:
		return p.Driver.Apply(ctx, step)
	}
}

// atBoot has the platform start the daemon at boot, or not, where that is what it does.
func (p *pauses) atBoot(ctx context.Context, name string, start bool) error {
	b, ok := Find[Booter](p.Driver)
	if !ok {
		return nil
	}
	return b.AtBoot(ctx, name, start)
}

// listens tells whether sockets may be held for a daemon. Of most there are none, and a stop of those is to cost nothing more.
func (p *pauses) listens(ctx context.Context, name string) (bool, error) {
	l, ok := Find[Listening](p.Driver)
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
	o, err := observeOne(ctx, p.Driver, name)
	if err != nil || o.State != spec.Exited && o.State != spec.Absent {
		return err
	}
	l, _ := Find[Listening](p.Driver)
	return l.Unlisten(ctx, name)
}

// change runs f under the name's lock.
func (p *pauses) change(ctx context.Context, step spec.Step, f func() error) error {
	lock, err := LockName(ctx, p.dirs, step.Name)
	if err != nil {
		return err
	}
	defer lock.Release()
	if err := f(); err != nil {
		return fmt.Errorf("%s daemon %s: %w", strings.ToLower(string(step.Verb)), step.Name, err)
	}
	return nil
}
