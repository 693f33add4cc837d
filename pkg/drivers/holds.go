package drivers

import (
	"context"
	"fmt"
	"time"

	"reconciler.dev/reconciler/internal/layout"
	"reconciler.dev/reconciler/pkg/spec"
)

// holds remembers of which daemons a user wants no change rolled out, so that it outlives a reboot.
type holds struct {
	driver Driver
	dirs   layout.Dirs
	book   *pauseBook
}

func newHolds(d Driver, dirs layout.Dirs) *holds {
	return &holds{d, dirs, &pauseBook{dirs: dirs, file: heldBook}}
}

// fill fills in Held. Where the book can't be read everybody counts as held: a change that comes later is the lesser mistake.
func (h *holds) fill(found []spec.Observed) {
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
}

func (h *holds) hold(ctx context.Context, step spec.Step) error {
	return underLock(ctx, h.dirs, step, rolloutOf, func() error {
		known, err := knows(ctx, h.driver, step.Name)
		if err == nil && !known {
			err = fmt.Errorf("there is nothing of that name: %w", ErrNotFound)
		}
		if err != nil {
			return err
		}
		return h.book.set(ctx, step.Name, &spec.Pause{At: time.Now(), By: step.By})
	})
}

func (h *holds) release(ctx context.Context, step spec.Step) error {
	return underLock(ctx, h.dirs, step, rolloutOf, func() error { return h.book.set(ctx, step.Name, nil) })
}

const rolloutOf = "the rollout of daemon"
