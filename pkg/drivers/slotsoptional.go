package drivers

import (
	"context"
	"fmt"
	"io"
	"slices"

	"reconciler.dev/reconciler/pkg/spec"
)

// Knows tells whether there is a copy.
func (s *slots) Knows(ctx context.Context, names ...string) ([]bool, error) {
	are, err := known(ctx, s.Driver, names...)
	if err != nil {
		return nil, err
	}
	for i, name := range names {
		if !are[i] {
			if are[i], err = s.hasSecond(ctx, name); err != nil {
				return nil, err
			}
		}
	}
	return are, nil
}

// Check asks for the copy in the first slot.
func (s *slots) Check(ctx context.Context, d *spec.Daemon) ([]spec.Loss, error) {
	c, ok := Find[Checker](s.Driver)
	if !ok {
		return nil, nil
	}
	if d.Spec.Slots() {
		own := *d
		own.Spec = d.Spec.InSlot(0)
		d = &own
	}
	return c.Check(ctx, d)
}

// PIDs returns those of the copy that came later: it is the one that a check is of.
func (s *slots) PIDs(ctx context.Context, name string) ([]int, error) {
	tree, ok := Find[Tree](s.Driver)
	if !ok {
		return nil, fmt.Errorf("list the processes of daemon %s: driver %s can't tell them: %w", name, s.Kind(), ErrUnsupported)
	}
	name, err := s.current(ctx, name)
	if err != nil {
		return nil, err
	}
	return tree.PIDs(ctx, name)
}

// AtBoot has every copy started at boot, or none.
func (s *slots) AtBoot(ctx context.Context, name string, start bool) error {
	b, ok := Find[Booter](s.Driver)
	if !ok {
		return nil
	}
	if err := b.AtBoot(ctx, name, start); err != nil {
		return err
	}
	if second, err := s.hasSecond(ctx, name); err != nil || !second {
		return err
	}
	return b.AtBoot(ctx, spec.SecondName(name), start)
}

// Logs asks for what the copy that came later wrote; a driver that keeps each copy's apart gives that of both, unless opts say otherwise.
func (s *slots) Logs(ctx context.Context, name string, w io.Writer, opts LogOptions) (handled bool, err error) {
	l, ok := Find[Logger](s.Driver)
	if !ok {
		return false, nil
	}
	if name, err = s.current(ctx, name); err != nil {
		return false, err
	}
	return l.Logs(ctx, name, w, opts)
}

// LogPlace is the driver's.
func (s *slots) LogPlace(st *spec.Stamp) string {
	if l, ok := Find[Logger](s.Driver); ok {
		return l.LogPlace(st)
	}
	return ""
}

// current is what the copy that came later is called below.
func (s *slots) current(ctx context.Context, name string) (string, error) {
	if second, err := s.hasSecond(ctx, name); err != nil || !second {
		return name, err
	}
	p, err := s.look(ctx, name)
	if err != nil {
		return name, err
	}
	return p.physical(p.now()), nil
}

// placingSlots are slots over a driver that is a Placer.
type placingSlots struct {
	*slots
	placer Placer
}

// Places are those of the copies that came later, each with that of the one before. Both slots are asked for at once, and only of a daemon that has two copies it is looked which is which.
func (s *placingSlots) Places(ctx context.Context, names ...string) ([]Place, error) {
	ask := slices.Clone(names)
	for _, name := range names {
		ask = append(ask, spec.SecondName(name))
	}
	found, err := s.placer.Places(ctx, ask...)
	if err != nil {
		return nil, err
	}
	copies := make(map[string]Place, len(found))
	for _, p := range found {
		copies[p.Name] = p
		if logical, _ := spec.LogicalName(p.Name); len(ask) == 0 {
			names = append(names, logical)
		}
	}
	if len(ask) == 0 {
		slices.Sort(names)
		names = slices.Compact(names)
	}
	places := make([]Place, len(names))
	for i, name := range names {
		first, second := copies[name], copies[spec.SecondName(name)]
		p := first
		switch {
		case is(first) && is(second):
			p = s.later(ctx, first, second)
		case is(second):
			p = second
		}
		p.Name = name
		places[i] = p
	}
	return places, nil
}

// later is the one of two copies that came later, with the one before.
func (s *placingSlots) later(ctx context.Context, first, second Place) Place {
	now, err := s.current(ctx, first.Name)
	if err != nil {
		return first // it is Unknown, and the driver says so of the first
	}
	p, before := first, second
	if now == second.Name {
		p, before = second, first
	}
	if before.Name = first.Name; before.State == spec.Running {
		p.Outgoing = &before
	}
	return p
}

// is tells whether there is anything of a copy.
func is(p Place) bool { return p.State != spec.Absent && p.State != "" }
