package drivers

import (
	"context"
	"fmt"
	"slices"
	"strings"

	"reconciler.dev/reconciler/pkg/spec"
)

// Keeping returns d for a host that can't carry it any more: it still looks at, stops and removes what it has, so that nothing of it is taken for absent and started
// a second time elsewhere, and it starts nothing, because of why.
func Keeping(d Driver, why *Unavailable) Driver { return &keeping{d, why} }

type keeping struct {
	Driver
	why *Unavailable
}

func (k *keeping) Unwrap() Driver { return k.Driver }

func (k *keeping) Apply(ctx context.Context, step spec.Step) error {
	if step.Verb == spec.VerbStart {
		return fmt.Errorf("start daemon %s: %w", step.Name, k.why)
	}
	return k.Driver.Apply(ctx, step)
}

// Check refuses every daemon.
func (k *keeping) Check(context.Context, *spec.Daemon) ([]spec.Loss, error) { return nil, k.why }

// Stranded returns a driver for what one that can't be used any more has left on this machine: the names that left returns are Unknown because of why, so that nothing is
// done to them, by anybody, before that is mended.
func Stranded(why *Unavailable, left func() ([]string, error)) Driver { return &stranded{why, left} }

type stranded struct {
	why  *Unavailable
	left func() ([]string, error)
}

func (s *stranded) Kind() spec.DriverKind { return s.why.Kind }

func (s *stranded) List(context.Context) ([]string, error) { return s.left() }

func (s *stranded) Observe(_ context.Context, names ...string) ([]spec.Observed, error) {
	left, err := s.left()
	if err != nil {
		return nil, err
	}
	found := make([]spec.Observed, len(names))
	for i, name := range names {
		found[i] = spec.Observed{Name: name, State: spec.Absent, Driver: s.Kind()}
		if slices.Contains(left, name) {
			found[i].State, found[i].Message = spec.Unknown, fmt.Sprintf("driver %s has it, and can't be used from here: %s", s.Kind(), s.why.Advice())
		}
	}
	return found, nil
}

func (s *stranded) Apply(_ context.Context, step spec.Step) error {
	return fmt.Errorf("%s daemon %s: %w", strings.ToLower(string(step.Verb)), step.Name, s.why)
}

// Watch tells that all should be looked at, once: from here nobody sees more.
func (s *stranded) Watch(ctx context.Context, changed func(string)) error {
	changed("")
	<-ctx.Done()
	return ctx.Err()
}

// Check refuses every daemon.
func (s *stranded) Check(context.Context, *spec.Daemon) ([]spec.Loss, error) { return nil, s.why }
