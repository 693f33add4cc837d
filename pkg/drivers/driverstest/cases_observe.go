package driverstest

import (
	"context"
	"errors"
	"slices"

	"reconciler.dev/reconciler/pkg/drivers"
	"reconciler.dev/reconciler/pkg/spec"
)

func observeCases() []testCase {
	return []testCase{
		{"nothing is Absent and no error", func(b *bench) {
			o := b.wantState("web", spec.Absent)
			if o.Stamp != nil || o.Instance != nil || o.Paused != nil || o.Foreign != "" || o.Drift != nil || o.Lost != nil {
				b.t.Errorf("there is something in nothing: %+v", o)
			}
		}},
		{"no names give no answers", func(b *bench) {
			b.start(b.daemon("web", b.stay()))
			if found, err := b.Driver.Observe(b.ctx()); err != nil || len(found) != 0 {
				b.t.Errorf("got %+v, %v", found, err)
			}
		}},
		{"answers come in the order of the names, also for one name twice", func(b *bench) {
			b.start(b.daemon("web", b.stay()))
			names := []string{"unknown", "web", "absent", "web"}
			found, err := b.Driver.Observe(b.ctx(), names...)
			if err != nil {
				b.t.Fatal(err)
			}
			var got []string
			var states []spec.State
			for _, o := range found {
				got, states = append(got, o.Name), append(states, o.State)
			}
			if !slices.Equal(got, names) || !slices.Equal(states, []spec.State{spec.Absent, spec.Running, spec.Absent, spec.Running}) {
				b.t.Errorf("asked for %v and got %v, %v", names, got, states)
			}
		}},
		{"every answer names the driver", func(b *bench) {
			if o := b.start(b.daemon("web", b.stay())); o.Driver != b.Driver.Kind() {
				b.t.Errorf("the answer is by %q, the driver is %q", o.Driver, b.Driver.Kind())
			}
		}},
		{"a cancelled look is an error", func(b *bench) {
			ctx, cancel := context.WithCancel(b.ctx())
			cancel()
			if _, err := b.Driver.Observe(ctx, "web"); !errors.Is(err, context.Canceled) {
				b.t.Errorf("got %v, want context.Canceled", err)
			}
		}},
		{"the list begins empty", func(b *bench) { b.wantList() }},
		{"the list is sorted and holds what is stamped, running or not", func(b *bench) {
			o := b.stay()
			o.Exit = 0
			for _, d := range []*spec.Daemon{b.daemon("web", b.stay()), b.daemon("api", b.stay()), b.daemon("job", o)} {
				b.start(d)
			}
			b.becomes("job", spec.Exited)
			b.wantList("api", "job", "web")
		}},
		{"looking changes nothing", func(b *bench) {
			before := b.start(b.daemon("web", b.stay()))
			for range 3 {
				b.sameInstance(before, b.observe("web"))
			}
			if n := b.copies(); n != 1 {
				b.t.Errorf("%d copies run", n)
			}
		}},
		{"up time grows and never turns back", func(b *bench) {
			first := b.start(b.daemon("web", b.stay())).Instance.Up
			b.eventually("time passes", func() bool {
				now := b.observe("web").Instance.Up
				if now < first {
					b.t.Fatalf("up for %s, then for %s", first, now)
				}
				return now > first
			})
		}},
		{"only what can stand in a name's place is foreign", func(b *bench) {
			if b.Foreign == nil {
				if o := b.observe("web"); o.Foreign != "" {
					b.t.Errorf("nothing can be foreign here, and yet: %s", o.Foreign)
				}
				return
			}
			if err := b.Foreign("web"); err != nil {
				b.t.Fatal(err)
			}
			if o := b.wantState("web", spec.Absent); o.Foreign == "" {
				b.t.Error("something foreign isn't told of")
			}
			b.wantList()
			b.mustFail(b.step(spec.VerbStart, b.daemon("web", b.stay())), drivers.ErrConflict)
			if o := b.observe("web"); o.Foreign == "" || b.copies() != 0 {
				b.t.Errorf("a refused start left %+v and %d processes", o, b.copies())
			}
		}},
	}
}

func (b *bench) wantList(want ...string) {
	b.t.Helper()
	if got, err := b.Driver.List(b.ctx()); err != nil || !slices.Equal(got, want) {
		b.t.Fatalf("the list is %v (%v), want %v", got, err, want)
	}
}

// sameInstance fails unless both looks saw the same process.
func (b *bench) sameInstance(x, y spec.Observed) {
	b.t.Helper()
	switch {
	case x.Instance == nil || y.Instance == nil:
		b.t.Fatalf("no instance: %+v, %+v", x, y)
	case x.Instance.ID != y.Instance.ID || x.Instance.PID != y.Instance.PID || x.Instance.StartTicks != y.Instance.StartTicks:
		b.t.Fatalf("instance %+v became %+v", x.Instance, y.Instance)
	}
}
