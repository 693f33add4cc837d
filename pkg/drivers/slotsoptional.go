package drivers

import (
	"context"
	"fmt"
	"io"

	"reconciler.dev/reconciler/pkg/spec"
)

// Knows tells whether there is a copy.
func (s *slots) Knows(ctx context.Context, name string) (bool, error) {
	if known, err := knows(ctx, s.Driver, name); err != nil || known {
		return known, err
	}
	return s.hasSecond(ctx, name)
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
	return b.AtBoot(ctx, spec.SecondName(name), start)
}

// Logs is of the copy that came later.
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

// Places are those of the copies that came later.
func (s *placingSlots) Places(ctx context.Context, names ...string) ([]Place, error) {
	if len(names) == 0 {
		var err error
		if names, err = s.List(ctx); err != nil || len(names) == 0 {
			return nil, err
		}
	}
	physical := make([]string, len(names))
	for i, name := range names {
		var err error
		if physical[i], err = s.current(ctx, name); err != nil {
			physical[i] = name // it is Unknown, and the driver says why
		}
	}
	places, err := s.placer.Places(ctx, physical...)
	for i := range places {
		places[i].Name = names[i]
	}
	return places, err
}
