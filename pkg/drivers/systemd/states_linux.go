package systemd

import (
	"context"
	"fmt"
	"sync"

	sd "github.com/coreos/go-systemd/v22/dbus"
	"github.com/godbus/dbus/v5"
)

// states are those of a loaded unit: see systemctl(1), list-units. A unit that isn't loaded has none.
//
// The manager is asked for what is loaded only: to be asked for more than that of a unit has it load that, and tell everybody so.
type states struct{ load, active, sub string }

// askAhead asks for the states of all units, in one call, and beside it for what the manager is like, which whoever changes something needs next; the returned function waits for the
// answers.
func (d *Driver) askAhead(ctx context.Context) func() (*link, func(unit string) states, error) {
	var l *link
	var err error
	var found []sd.UnitStatus
	var asked sync.WaitGroup
	asked.Go(func() {
		if l, err = d.bus.get(ctx); err != nil {
			return
		}
		asked.Go(func() { _, _ = d.facts(ctx) }) // whoever needs them says what is the matter
		if err = l.call(ctx, "ListUnits").Store(&found); err != nil {
			err = fmt.Errorf("list units: %w", err)
		}
	})
	return func() (*link, func(string) states, error) {
		asked.Wait()
		all := make(map[string]states, len(found))
		for _, u := range found {
			all[u.Name] = states{u.LoadState, u.ActiveState, u.SubState}
		}
		return l, func(unit string) states { return all[unit] }, err
	}
}

// askEach asks for the states of few units.
func (d *Driver) askEach(ctx context.Context, finds []*finding) (*link, func(unit string) states, error) {
	l, err := d.bus.get(ctx)
	if err != nil {
		return nil, nil, err
	}
	all := make(map[string]states, len(finds))
	for _, f := range finds {
		units := []string{f.unit}
		if f.ours() {
			units = append(units, socketUnits(f.stamp())...)
		}
		for _, unit := range units {
			if all[unit], err = l.states(ctx, unit); err != nil {
				return nil, nil, fmt.Errorf("look at unit %s: %w", unit, err)
			}
		}
	}
	return l, func(unit string) states { return all[unit] }, nil
}

// states asks for those of one unit.
func (l *link) states(ctx context.Context, unit string) (s states, err error) {
	if loaded, err := l.isLoaded(ctx, unit); err != nil || !loaded {
		return s, err
	}
	f, err := l.get(ctx, unit, map[string][]string{unitInterface: {"LoadState", "ActiveState", "SubState"}})
	return states{f.Load, f.Active, f.Sub}, err
}

// isLoaded tells whether the manager has a unit in memory.
func (l *link) isLoaded(ctx context.Context, unit string) (bool, error) {
	var path dbus.ObjectPath
	err := l.call(ctx, "GetUnit", unit).Store(&path)
	if said(err, "NoSuchUnit") {
		return false, nil
	}
	return err == nil, err
}

const (
	unitInterface    = "org.freedesktop.systemd1.Unit"
	serviceInterface = "org.freedesktop.systemd1.Service"
)
