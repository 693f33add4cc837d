package driverstest

import (
	"time"

	"reconciler.dev/reconciler/pkg/drivers"
	"reconciler.dev/reconciler/pkg/spec"
)

func holdCases() []testCase {
	return []testCase{
		{"is remembered by every driver value, until it is released", func(b *bench) {
			d := b.daemon("web", b.stay())
			before := b.start(d)
			o := b.must(spec.VerbHold, d)
			if o.Held == nil || o.Held.By != "suite" || time.Since(o.Held.At).Abs() > b.Patience {
				b.t.Fatalf("held: %+v", o.Held)
			}
			b.sameInstance(before, o)
			if other := b.observeBy(b.Reopen(), "web"); other.Held == nil || other.Paused != nil {
				b.t.Errorf("another value sees %+v, paused %+v", other.Held, other.Paused)
			}
			if o := b.must(spec.VerbRelease, d); o.Held != nil {
				b.t.Errorf("after the release it is held: %+v", o.Held)
			}
		}},
		{"is told to those who watch", func(b *bench) {
			d := b.daemon("web", b.stay())
			b.start(d)
			w := b.watch(b.Driver)
			if err := b.Reopen().Apply(b.ctx(), b.step(spec.VerbHold, d)); err != nil {
				b.t.Fatal(err)
			}
			w.hears("web")
		}},
		{"goes with what is removed, and nothing that isn't there is held", func(b *bench) {
			d := b.daemon("web", b.stay())
			b.start(d)
			b.must(spec.VerbHold, d)
			b.must(spec.VerbStop, d)
			if o := b.must(spec.VerbRemove, d); o.Held != nil {
				b.t.Errorf("left is %+v", o.Held)
			}
			b.mustFail(b.step(spec.VerbHold, d), drivers.ErrNotFound)
		}},
	}
}
