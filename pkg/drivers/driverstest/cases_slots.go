package driverstest

import (
	"reconciler.dev/reconciler/pkg/drivers"
	"reconciler.dev/reconciler/pkg/spec"
)

// sided declares a daemon of which two copies may run, as generation g.
func (b *bench) sided(g string) *spec.Daemon {
	o := b.stay()
	o.Say = "generation " + g + " in slot " + spec.SlotReference
	d := b.daemon("web", o)
	d.Spec.Update = &spec.Update{Strategy: spec.UpdateStartFirst, ReadyTimeout: seconds(60), OnFailure: spec.UpdateRollback}
	return sealed(d)
}

// beside starts the second generation of a daemon beside the first, and returns what is seen of both.
func (b *bench) beside() (first, both spec.Observed, d *spec.Daemon) {
	b.t.Helper()
	first = b.start(b.sided("1"))
	d = b.sided("2")
	s := b.step(spec.VerbStart, d)
	s.Beside, s.Generation = true, 2
	both = b.mustStep(s)
	b.eventually("the second copy reports", func() bool { return b.copies() == 2 })
	if both.Instance == nil || both.Instance.ID == first.Instance.ID || both.State != spec.Running {
		b.t.Fatalf("beside the first there is %s, %+v", both.State, both.Instance)
	}
	if out := both.Outgoing; out == nil || out.ID != first.Instance.ID {
		b.t.Fatalf("the one that is to go is %+v, want %s", out, first.Instance.ID)
	}
	return first, both, d
}

func slotCases() []testCase {
	cases := []testCase{
		{"two copies run under one name", func(b *bench) {
			_, both, d := b.beside()
			if both.Name != "web" || both.Stamp.Name != "web" || both.Stamp.Digest != d.Digest || both.Stamp.Generation != 2 || both.Slot != 1 {
				b.t.Errorf("both are %+v, stamp %+v", both, both.Stamp)
			}
			if changes := spec.Diff(*both.Stamp, d); len(changes) != 0 {
				b.t.Errorf("what was applied and what is wanted differ in %+v", changes)
			}
			b.wantList("web")
			if other := b.observeBy(b.Reopen(), "web"); other.Outgoing == nil || other.Instance.ID != both.Instance.ID {
				b.t.Errorf("another value sees %+v", other)
			}
		}},
		{"each copy has a place", func(b *bench) {
			_, both, d := b.beside()
			p, ok := drivers.Find[drivers.Placer](b.Driver)
			if !ok {
				return
			}
			place := func(names ...string) drivers.Place {
				places, err := p.Places(b.ctx(), names...)
				if err != nil || len(places) != 1 || places[0].Name != "web" || places[0].Instance != both.Instance.ID {
					b.t.Fatalf("asked for %v: %+v, %v", names, places, err)
				}
				return places[0]
			}
			for _, names := range [][]string{{"web"}, nil} {
				if out := place(names...).Outgoing; out == nil || out.Name != "web" || out.State != spec.Running || out.Instance != both.Outgoing.ID {
					b.t.Errorf("asked for %v: the one that is to go is at %+v, want %s", names, out, both.Outgoing.ID)
				}
			}
			b.must(spec.VerbRetire, d)
			if out := place("web").Outgoing; out != nil {
				b.t.Errorf("the one that went is at %+v", out)
			}
		}},
		{"each copy is told its slot", func(b *bench) {
			b.beside()
			for _, want := range []string{"generation 1 in slot 0", "generation 2 in slot 1"} {
				b.eventually(want, func() bool { return b.wasTold(want) })
			}
		}},
		{"a start beside that is done again does nothing", func(b *bench) {
			first, both, d := b.beside()
			s := b.step(spec.VerbStart, d)
			s.Beside, s.Generation, s.Instance = true, 2, first.Instance.ID
			b.sameInstance(both, b.mustStep(s))
			if n := b.copies(); n != 2 {
				b.t.Errorf("%d copies run", n)
			}
		}},
		{"a third copy is refused", func(b *bench) {
			_, both, _ := b.beside()
			s := b.step(spec.VerbStart, b.sided("3"))
			s.Beside, s.Generation = true, 3
			b.mustFail(s, drivers.ErrMoved)
			b.sameInstance(both, b.observe("web"))
		}},
		{"a start beside an instance that isn't there is refused", func(b *bench) {
			first := b.start(b.sided("1"))
			s := b.step(spec.VerbStart, b.sided("2"))
			s.Beside, s.Generation, s.Instance = true, 2, "another"
			b.mustFail(s, drivers.ErrMoved)
			b.sameInstance(first, b.observe("web"))
			b.onlyCopy()
		}},
		{"the one before is retired, and the new one stays", func(b *bench) {
			first, both, d := b.beside()
			after := b.must(spec.VerbRetire, d)
			b.sameInstance(both, after)
			if after.Outgoing != nil || after.Stamp.Generation != 2 {
				b.t.Errorf("left is %+v, stamp %+v", after, after.Stamp)
			}
			b.eventually("the first has ended", func() bool { return !b.m.Alive(first.Instance.PID) })
			b.sameInstance(after, b.must(spec.VerbRetire, d))
			b.wantList("web")
		}},
		{"the new one is abandoned, and the one before goes on as it was", func(b *bench) {
			first, both, d := b.beside()
			after := b.must(spec.VerbAbandon, d)
			b.sameInstance(first, after)
			if after.Outgoing != nil || after.Stamp.Generation != 1 || after.Stamp.Digest != first.Stamp.Digest || after.Slot != 0 {
				b.t.Errorf("left is %+v, stamp %+v", after, after.Stamp)
			}
			b.eventually("the second has ended", func() bool { return !b.m.Alive(both.Instance.PID) })
		}},
		{"what was planned against another instance ends neither", func(b *bench) {
			_, both, d := b.beside()
			for _, verb := range []spec.Verb{spec.VerbRetire, spec.VerbAbandon, spec.VerbStop} {
				s := b.step(verb, d)
				s.Instance = "another"
				b.mustFail(s, drivers.ErrMoved)
			}
			b.sameInstance(both, b.observe("web"))
			if n := b.copies(); n != 2 {
				b.t.Errorf("%d copies run", n)
			}
		}},
		{"slots are used in turn", func(b *bench) {
			_, _, d := b.beside()
			b.must(spec.VerbRetire, d)
			third := b.sided("3")
			s := b.step(spec.VerbStart, third)
			s.Beside, s.Generation = true, 3
			if o := b.mustStep(s); o.Slot != 0 || o.Stamp.Generation != 3 || o.Outgoing == nil {
				b.t.Errorf("the third is %+v, stamp %+v", o, o.Stamp)
			}
			if o := b.must(spec.VerbRetire, third); o.Slot != 0 || o.Outgoing != nil || o.State != spec.Running {
				b.t.Errorf("left is %+v", o)
			}
		}},
		{"a restart stays in its slot", func(b *bench) {
			_, _, d := b.beside()
			b.must(spec.VerbRetire, d)
			b.must(spec.VerbStop, d)
			s := b.step(spec.VerbStart, d)
			s.Generation = 2
			if o := b.mustStep(s); o.Slot != 1 || o.Outgoing != nil || o.State != spec.Running {
				b.t.Errorf("it is %+v", o)
			}
			b.wantList("web")
		}},
		{"both are stopped and removed together", func(b *bench) {
			_, _, d := b.beside()
			b.must(spec.VerbStop, d)
			b.eventually("both have ended", func() bool { return b.copies() == 0 })
			if o := b.must(spec.VerbRemove, d); o.State != spec.Absent || o.Outgoing != nil || o.Stamp != nil {
				b.t.Errorf("left is %+v", o)
			}
			b.wantList()
		}},
		{"the death of the one before is told, and only leaves the new one", func(b *bench) {
			first, both, d := b.beside()
			w := b.watch(b.Driver)
			if err := b.m.Signal(first.Instance.PID, "SIGKILL"); err != nil {
				b.t.Fatal(err)
			}
			w.hears("web")
			b.sameInstance(both, b.must(spec.VerbRetire, d))
		}},
		{"both have the daemon's sockets, which stay with the one that stays", func(b *bench) {
			if b.lacks("spec.listen") {
				return
			}
			port := b.m.Port(b.t)
			sided := func(tier string) *spec.Daemon {
				d := b.listener("web", port)
				d.Labels = map[string]string{"tier": tier}
				d.Spec.Update = b.sided("1").Spec.Update
				return sealed(d)
			}
			first, second := sided("1"), sided("2")
			b.start(first)
			b.answers(b.dial(port), 3, b.observe("web").Instance.PID)
			for _, verb := range []spec.Verb{spec.VerbAbandon, spec.VerbRetire} {
				before := b.observe("web")
				s := b.step(spec.VerbStart, second)
				s.Beside, s.Generation = true, 2
				stays := b.mustStep(s)
				b.eventually("both copies report", func() bool { return b.copies() == 2 })
				if b.must(verb, second); verb == spec.VerbAbandon {
					stays = before
				}
				b.eventually("one copy is left", func() bool { return b.copies() == 1 })
				b.answers(b.dial(port), 3, stays.Instance.PID)
				if o := b.observe("web"); len(o.Drift) > 0 {
					b.t.Errorf("after the %s there is drift: %+v", verb, o.Drift)
				}
			}
		}},
		{"files and a pause are the daemon's, and not a copy's", func(b *bench) {
			d := b.sided("1")
			path := b.config(d, "etc/web.conf", "port 80")
			b.must(spec.VerbFiles, sealed(d))
			b.start(d)
			next := b.sided("2")
			next.Spec.Files, next.Contents = d.Spec.Files, d.Contents
			s := b.step(spec.VerbStart, sealed(next))
			s.Beside, s.Generation = true, 2
			b.mustStep(s)
			b.must(spec.VerbPause, d)
			if o := b.must(spec.VerbRetire, d); o.Paused == nil || len(o.Drift) != 0 {
				b.t.Errorf("left is %+v", o)
			}
			b.holds(path, "port 80")
		}},
	}
	for i, c := range cases {
		cases[i].run = func(b *bench) {
			if !b.Single {
				c.run(b)
			}
		}
	}
	return cases
}

// wasTold tells whether a main process was given text among its arguments.
func (b *bench) wasTold(text string) bool {
	for _, l := range b.lines("leader", "") {
		for _, a := range l.Args {
			if string(a) == text {
				return true
			}
		}
	}
	return false
}
