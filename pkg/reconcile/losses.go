package reconcile

import (
	"context"
	"fmt"
	"slices"
	"strings"

	"reconciler.dev/reconciler/pkg/drivers"
	"reconciler.dev/reconciler/pkg/spec"
)

// fallback says why a daemon doesn't run under a better driver than kind; nothing where its manifest names the driver.
func (e *Engine) fallback(s spec.Spec, kind spec.DriverKind) []*drivers.Unavailable {
	if kind == "" || s.Driver != spec.DriverAuto && s.Driver != "" {
		return nil
	}
	return e.host.Fallback(kind)
}

// moving says why what runs under one driver, and may under any, shall run under another one.
func (e *Engine) moving(from, to spec.DriverKind) string {
	for _, u := range e.host.Fallback(to) {
		if u.Kind == from {
			return u.Reason
		}
	}
	return "a better driver is available"
}

// permitted makes sure, before one driver ends a daemon, that the other can start it, and that a limit that the manifest now requires is one that can be enforced.
func (e *Engine) permitted(ctx context.Context, in Input, d Decision) Decision {
	if d.Move == nil && !changesLimits(d.Changes) || len(d.Steps) == 0 {
		return d
	}
	drv, err := e.host.Driver(in.Driver)
	if err == nil {
		err = couldStart(ctx, drv, in.Want)
	}
	if err == nil {
		return d
	}
	err = fmt.Errorf("daemon %s (%s): %w", in.Name, in.Want.Source, err)
	return Decision{Action: Refused, Changes: d.Changes, Reason: err.Error(), Err: err}
}

// changesLimits says whether what the host must be able to do for a daemon changes.
func changesLimits(changes []spec.Change) bool {
	return slices.ContainsFunc(changes, func(c spec.Change) bool {
		return strings.HasPrefix(c.Field, "spec.cgroup") || strings.HasPrefix(c.Field, "spec.sandbox")
	})
}

// couldStart asks a driver, where it can tell, whether it could start a daemon.
func couldStart(ctx context.Context, drv drivers.Driver, want *spec.Daemon) error {
	c, ok := drivers.Find[drivers.Checker](drv)
	if !ok {
		return nil
	}
	_, err := c.Check(ctx, want)
	return err
}

// tellFallback records why a daemon that was just made doesn't run under a better driver. One that is merely started again has been told of.
func (e *Engine) tellFallback(o spec.Observed, s spec.Step) {
	if s.Verb != spec.VerbStart || o.State != spec.Absent && o.Driver == s.Driver {
		return
	}
	for _, u := range e.fallback(s.Want.Spec, s.Driver) {
		e.warn(s.Name, "DriverFallback", fmt.Sprintf("%s instead of %s: %s", s.Driver, u.Kind, u.Advice()))
	}
}

// tellLost records what the driver of a daemon doesn't enforce.
func (e *Engine) tellLost(o spec.Observed) {
	for _, l := range o.Lost {
		e.warn(o.Name, "LimitLost", l.Field+" is not enforced: "+l.Reason)
	}
}

// followLost records what isn't enforced where that is new: where the daemon was just changed, or where it differs from what the look before found.
func (l *loop) followLost(en *entry, c conclusion) {
	m := en.memory
	if c.observed.State != spec.Unknown {
		if (c.acted || m.looked) && !slices.Equal(m.lost, c.observed.Lost) {
			l.tellLost(c.observed)
		}
		m.lost, m.looked = c.observed.Lost, true
	}
}
