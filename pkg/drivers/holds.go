package drivers

import (
	"context"
	"fmt"
	"strings"
	"time"

	"reconciler.dev/reconciler/internal/layout"
	"reconciler.dev/reconciler/pkg/spec"
)

// holds remembers of which daemons a user wants no change rolled out, so that it outlives a reboot.
type holds struct {
	Driver
	dirs layout.Dirs
	book *pauseBook
}

// WithHolds has d remember Hold until Release.
func WithHolds(d Driver, dirs layout.Dirs) Driver {
	return &holds{d, dirs, &pauseBook{dirs: dirs, file: heldBook}}
}

// Unwrap is for Find.
func (h *holds) Unwrap() Driver { return h.Driver }

// Observe fills in Held. Where the book can't be read everybody counts as held: a change that comes later is the lesser mistake.
func (h *holds) Observe(ctx context.Context, names ...string) ([]spec.Observed, error) {
	found, err := h.Driver.Observe(ctx, names...)
	if err != nil {
		return nil, err
	}
	held, err := h.book.read()
	for i := range found {
		at, there := held[found[i].Name]
		if err != nil {
			at, there = spec.Pause{By: "unreadable " + h.book.path()}, true
		}
		if there {
			found[i].Held = &at
		}
	}
	return found, nil
}

// Watch is the driver's, and also tells of daemons that were held or released.
func (h *holds) Watch(ctx context.Context, changed func(name string)) error {
	return h.book.watchBeside(ctx, h.Driver, changed)
}

// Apply does Hold and Release, and forgets the hold of what is removed, before that, as a pause.
func (h *holds) Apply(ctx context.Context, step spec.Step) error {
	switch step.Verb {
	case spec.VerbHold:
		return h.change(ctx, step, func() error {
			known, err := knows(ctx, h.Driver, step.Name)
			if err == nil && !known {
				err = fmt.Errorf("there is nothing of that name: %w", ErrNotFound)
			}
			if err != nil {
				return err
			}
			return h.book.set(ctx, step.Name, &spec.Pause{At: time.Now(), By: step.By})
		})
	case spec.VerbRelease:
		return h.change(ctx, step, func() error { return h.book.set(ctx, step.Name, nil) })
	case spec.VerbRemove:
		err := h.change(ctx, step, func() error {
			o, err := observeOne(ctx, h.Driver, step.Name)
			if err != nil || !removable(step, o) {
				return err
			}
			return h.book.set(ctx, step.Name, nil)
		})
		if err != nil {
			return err
		}
	}
	return h.Driver.Apply(ctx, step)
}

// change runs f under the name's lock.
func (h *holds) change(ctx context.Context, step spec.Step, f func() error) error {
	lock, err := LockName(ctx, h.dirs, step.Name)
	if err != nil {
		return err
	}
	defer lock.Release()
	if err := f(); err != nil {
		return fmt.Errorf("%s the rollout of daemon %s: %w", strings.ToLower(string(step.Verb)), step.Name, err)
	}
	return nil
}
