//go:build unix

package drivers_test

import (
	"context"
	"fmt"
	"testing"

	"github.com/google/go-cmp/cmp"

	"reconciler.dev/reconciler/pkg/drivers"
	"reconciler.dev/reconciler/pkg/spec"
)

// counted is a driver that counts what it is asked.
type counted struct {
	drivers.Driver
	asked asked
	held  bool // sockets are held
}

// asked is how often each was called.
type asked struct{ Observe, Knows, Listens, Unlisten int }

func (c *counted) Observe(ctx context.Context, names ...string) ([]spec.Observed, error) {
	c.asked.Observe++
	return c.Driver.Observe(ctx, names...)
}

func (c *counted) Knows(ctx context.Context, names ...string) ([]bool, error) {
	c.asked.Knows++
	found, err := c.Driver.Observe(ctx, names...)
	known := make([]bool, len(found))
	for i, o := range found {
		known[i] = o.State != spec.Absent
	}
	return known, err
}

func (c *counted) Listens(context.Context, string) (bool, error) {
	c.asked.Listens++
	return c.held, nil
}

func (c *counted) Unlisten(context.Context, string) error {
	c.asked.Unlisten++
	return nil
}

// TestWhatStepsCost: what decorators do for few daemons must not be paid for by all, at each of their steps.
func TestWhatStepsCost(t *testing.T) {
	f := newFixture(t)
	c := &counted{Driver: f.fake}
	f.Driver = drivers.Decorate(c, f.dirs)
	web := f.daemon("web")
	for _, s := range []struct {
		verb spec.Verb
		held bool
		want asked
	}{
		{spec.VerbStart, false, asked{Knows: 1}},
		{spec.VerbStamp, false, asked{Knows: 1}},
		{spec.VerbPause, false, asked{Knows: 1, Listens: 1}},
		{spec.VerbStop, false, asked{Knows: 1, Listens: 1}},
		{spec.VerbResume, false, asked{}},
		{spec.VerbStart, true, asked{Knows: 1}},
		{spec.VerbPause, true, asked{Observe: 1, Knows: 2, Listens: 1}},
		{spec.VerbStop, true, asked{Observe: 1, Knows: 2, Listens: 2, Unlisten: 1}},
		{spec.VerbHold, false, asked{Knows: 1}},
		{spec.VerbRelease, false, asked{}},
		{spec.VerbRemove, false, asked{Observe: 1, Knows: 2}},
	} {
		step := f.step(s.verb, web)
		c.asked, c.held = asked{}, s.held
		if err := f.Apply(t.Context(), step); err != nil {
			t.Fatalf("%s: %v", s.verb, err)
		}
		if diff := cmp.Diff(s.want, c.asked); diff != "" {
			t.Errorf("%s, sockets held: %t: the driver was asked (-want +got)\n%s", s.verb, s.held, diff)
		}
	}
}

// TestALookIsOneLook however many daemons there are.
func TestALookIsOneLook(t *testing.T) {
	f := newFixture(t)
	c := &counted{Driver: f.fake}
	f.Driver = drivers.Decorate(c, f.dirs)
	var names []string
	for i := range 50 {
		names = append(names, fmt.Sprintf("d%02d", i))
		f.must(spec.VerbStart, f.daemon(names[i]))
	}
	c.asked = asked{}
	if _, err := f.Observe(t.Context(), names...); err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(asked{Observe: 1, Knows: 1}, c.asked); diff != "" {
		t.Errorf("the driver was asked (-want +got)\n%s", diff)
	}
}
