package reconcile

import (
	"context"
	"errors"
	"fmt"
	"time"

	"reconciler.dev/reconciler/pkg/drivers"
	"reconciler.dev/reconciler/pkg/spec"
)

// reloadTime is how long a daemon may take to show that it has read its files again, where its spec.update doesn't say how long it may take to be Ready; and how long a command may take
// that has it do so.
const reloadTime = 30 * time.Second

// reload has a daemon read its files again, and returns once it has shown that it did: it is the same process, healthy, and shows what its spec expects. Where the spec expects nothing, it has to be
// healthy still UpFor later: a signal that ends a daemon, or files that it can't read, take a moment to show.
func (e *Engine) reload(ctx context.Context, drv drivers.Driver, s spec.Step, by time.Time) error {
	r, slot := s.Want.Spec.Reload, 0
	if r != nil && (s.Want.Spec.Slots() || len(r.Exec) > 0) {
		found, err := e.observe(ctx, s.Name)
		if err == nil {
			err = drivers.CheckInstance(s, found[0])
		}
		if err != nil {
			return err
		}
		if slot = found[0].Slot; s.Want.Spec.Slots() {
			r = r.InSlot(slot)
		}
	}
	var err error
	if r != nil && len(r.Exec) > 0 {
		err = e.host.Probe(ctx, s.Name, spec.Health{Exec: r.Exec, Timeout: spec.Duration(reloadTime)})
	} else {
		err = drv.Apply(ctx, s)
	}
	if err != nil || r == nil {
		return err
	}
	check := s.Want.Spec.Health
	if s.Want.Spec.Slots() {
		check = check.InSlot(slot)
	}
	return e.reloaded(ctx, s, by, proofs(check, r.Expect), r.Expect != nil)
}

// proofs are the checks that a daemon has to pass after a reload.
func proofs(check *spec.Health, expect *spec.ReloadExpect) (all []spec.Health) {
	if check != nil {
		all = append(all, *check)
	}
	if expect == nil {
		return all
	}
	shown := spec.Health{URL: expect.URL, ExpectHeader: expect.Header, ExpectBody: expect.Body}
	if check != nil {
		shown.Timeout = check.Timeout
		if shown.URL == "" {
			shown.URL = check.URL
		}
	}
	if shown.Timeout == 0 {
		shown.Timeout = spec.Duration(2 * time.Second)
	}
	return append(all, shown)
}

// reloaded waits until the instance that was to reload passes all checks; where that by itself shows nothing, it has to pass them once it has had the time to fail. It gives up
// after the time of the spec, or at by, whichever is sooner.
func (e *Engine) reloaded(ctx context.Context, s spec.Step, by time.Time, checks []spec.Health, shown bool) error {
	patience := reloadTime
	if u := s.Want.Spec.Update; u != nil {
		patience = u.ReadyTimeout.D()
	}
	if !by.IsZero() {
		patience = max(min(patience, time.Until(by)), firstProbe)
	}
	deadline := time.Now().Add(patience)
	if !shown {
		if err := sleep(ctx, UpFor); err != nil {
			return err
		}
	}
	for wait := firstProbe; ; wait = min(2*wait, time.Second) {
		err := e.passes(ctx, s, checks)
		switch {
		case err == nil, ctx.Err() != nil, errors.Is(err, errEnded), errors.Is(err, drivers.ErrUnreachable):
			return err
		case time.Now().After(deadline):
			return fmt.Errorf("it was told to, and within %s nothing shows that it did: %w", patience.Round(100*time.Millisecond), err)
		}
		if err := sleep(ctx, wait); err != nil {
			return err
		}
	}
}

// errEnded marks a reload that ended the daemon.
var errEnded = errors.New("it didn't survive its reload")

// passes says whether the instance passes all checks.
func (e *Engine) passes(ctx context.Context, s spec.Step, checks []spec.Health) error {
	for _, c := range checks {
		if err := e.host.Probe(ctx, s.Name, c); err != nil {
			return e.survives(ctx, s, err)
		}
	}
	return e.survives(ctx, s, nil)
}

// survives returns err, or that the instance is gone.
func (e *Engine) survives(ctx context.Context, s spec.Step, err error) error {
	found, lookErr := e.observe(ctx, s.Name)
	switch {
	case lookErr != nil:
		return lookErr
	case found[0].State == spec.Unknown:
		return fmt.Errorf("its state is unknown: %s", found[0].Message)
	case instanceID(found[0]) != s.Instance:
		return fmt.Errorf("%w: another instance runs in its place", errEnded)
	case found[0].State != spec.Running:
		return fmt.Errorf("%w: %s", errEnded, Ending(found[0]))
	}
	return err
}
