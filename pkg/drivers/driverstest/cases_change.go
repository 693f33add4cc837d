package driverstest

import (
	"time"

	"reconciler.dev/reconciler/internal/testprog"
	"reconciler.dev/reconciler/pkg/drivers"
	"reconciler.dev/reconciler/pkg/spec"
)

func stampCases() []testCase {
	return []testCase{
		{"changes the stamp and leaves the process alone", func(b *bench) {
			d := b.daemon("web", b.stay())
			before := b.start(d)
			changed := *d
			changed.Labels = map[string]string{"app": "web", "tier": "front"}
			changed.Spec.Restart.Policy = spec.RestartNever
			s := b.step(spec.VerbStamp, sealed(&changed))
			s.Generation, s.Owner = 2, spec.Owner{Set: "other"}
			after := b.mustStep(s)
			b.sameInstance(before, after)
			if after.Stamp.Digest != changed.Digest || after.Stamp.Generation != 2 || after.Stamp.Owner.Set != "other" || after.Stamp.Labels["tier"] != "front" {
				b.t.Errorf("the stamp is %+v", after.Stamp)
			}
			if i := after.Instance; i.Generation != 1 || i.SpecDigest != d.Digest {
				b.t.Errorf("the instance claims to have been started with generation %d", i.Generation)
			}
			b.onlyCopy()
		}},
		{"keeps the time of a generation that is stamped again", func(b *bench) {
			d := b.daemon("web", b.stay())
			first := b.start(d).Stamp.AppliedAt
			if again := b.must(spec.VerbStamp, d).Stamp.AppliedAt; !again.Equal(first) {
				b.t.Errorf("applied at %s, then at %s", first, again)
			}
			<-time.After(2 * time.Millisecond)
			s := b.step(spec.VerbStamp, d)
			s.Generation = 2
			if next := b.mustStep(s).Stamp.AppliedAt; !next.After(first) {
				b.t.Errorf("generation 2 was applied at %s, generation 1 at %s", next, first)
			}
		}},
		{"works on what has ended", func(b *bench) {
			d := b.daemon("web", b.stay())
			b.start(d)
			b.kill("web")
			s := b.step(spec.VerbStamp, d)
			s.Generation = 2
			if o := b.mustStep(s); o.State != spec.Exited || o.Stamp.Generation != 2 {
				b.t.Errorf("it is %s at generation %d", o.State, o.Stamp.Generation)
			}
		}},
		{"of another instance is refused", func(b *bench) {
			d := b.daemon("web", b.stay())
			b.start(d)
			s := b.step(spec.VerbStamp, d)
			s.Generation, s.Instance = 2, "another"
			b.mustFail(s, drivers.ErrMoved)
			if g := b.observe("web").Stamp.Generation; g != 1 {
				b.t.Errorf("a refused stamp left generation %d", g)
			}
		}},
	}
}

func reloadCases() []testCase {
	return []testCase{
		{"by signal reaches the main process, which stays", func(b *bench) {
			o := b.stay()
			o.Note, o.Child = "SIGHUP", testprog.Plain
			d := b.daemon("web", o)
			d.Spec.Reload = &spec.Reload{Signal: "SIGHUP"}
			before := b.start(sealed(d))
			b.sameInstance(before, b.must(spec.VerbReload, d))
			b.eventually("the signal arrives", func() bool { return len(b.lines("leader", "SIGHUP")) == 1 })
		}},
		{"by URL reaches it", func(b *bench) {
			o := b.stay()
			o.HTTP = b.freeAddress()
			d := b.daemon("web", o)
			d.Spec.Reload = &spec.Reload{URL: "http://" + o.HTTP + "/reload"}
			before := b.start(sealed(d))
			b.sameInstance(before, b.must(spec.VerbReload, d))
			b.eventually("the request arrives", func() bool { return len(b.lines("leader", "POST /reload")) == 1 })
		}},
		{"of what has ended is refused, and starts nothing", func(b *bench) {
			d := b.daemon("web", b.stay())
			d.Spec.Reload = &spec.Reload{Signal: "SIGHUP"}
			b.start(sealed(d))
			b.kill("web")
			b.mustFail(b.step(spec.VerbReload, d), drivers.ErrMoved)
			b.wantState("web", spec.Exited)
		}},
		{"of another instance is refused", func(b *bench) {
			o := b.stay()
			o.Note = "SIGHUP"
			d := b.daemon("web", o)
			d.Spec.Reload = &spec.Reload{Signal: "SIGHUP"}
			b.start(sealed(d))
			s := b.step(spec.VerbReload, d)
			s.Instance = "another"
			b.mustFail(s, drivers.ErrMoved)
			<-time.After(soon)
			if n := len(b.lines("leader", "SIGHUP")); n != 0 {
				b.t.Errorf("a refused reload sent %d signals", n)
			}
		}},
	}
}

func removeCases() []testCase {
	return []testCase{
		{"leaves nothing", func(b *bench) {
			d := b.daemon("web", b.stay())
			b.start(d)
			b.must(spec.VerbStop, d)
			o := b.must(spec.VerbRemove, d)
			if o.State != spec.Absent || o.Stamp != nil || o.Instance != nil {
				b.t.Errorf("left is %+v", o)
			}
			b.wantList()
		}},
		{"of what runs is refused", func(b *bench) {
			d := b.daemon("web", b.stay())
			path := b.config(d, "etc/web.conf", "port 80")
			b.must(spec.VerbFiles, sealed(d))
			before := b.start(d)
			b.must(spec.VerbPause, d)
			b.mustFail(b.step(spec.VerbRemove, d), drivers.ErrMoved)
			after := b.wantState("web", spec.Running)
			b.sameInstance(before, after)
			if after.Paused == nil || after.Stamp == nil {
				b.t.Errorf("a refused removal left %+v", after)
			}
			b.holds(path, "port 80")
		}},
		{"of nothing is done", func(b *bench) { b.must(spec.VerbRemove, b.daemon("web", b.stay())) }},
		{"again is done", func(b *bench) {
			d := b.daemon("web", b.stay())
			b.start(d)
			b.must(spec.VerbStop, d)
			s := b.step(spec.VerbRemove, d)
			b.mustStep(s)
			b.mustStep(s)
		}},
		{"of another instance is refused", func(b *bench) {
			d := b.daemon("web", b.stay())
			b.start(d)
			b.must(spec.VerbStop, d)
			s := b.step(spec.VerbRemove, d)
			s.Instance = "another"
			b.mustFail(s, drivers.ErrMoved)
			b.wantState("web", spec.Exited)
		}},
		{"makes room for a new one of the name", func(b *bench) {
			d := b.daemon("web", b.stay())
			first := b.start(d)
			b.kill("web")
			b.must(spec.VerbRemove, d)
			second := b.start(d)
			if second.Instance.ID == first.Instance.ID || second.Instance.Last != nil || second.Instance.Restarts != 0 {
				b.t.Errorf("the new one remembers the old: %+v", second.Instance)
			}
		}},
	}
}

func pauseCases() []testCase {
	return []testCase{
		{"is remembered by every driver value, until it is forgotten", func(b *bench) {
			d := b.daemon("web", b.stay())
			b.start(d)
			o := b.must(spec.VerbPause, d)
			if o.Paused == nil || o.Paused.By != "suite" || time.Since(o.Paused.At).Abs() > b.Patience {
				b.t.Fatalf("paused: %+v", o.Paused)
			}
			if other := b.observeBy(b.Reopen(), "web"); other.Paused == nil || !other.Paused.At.Equal(o.Paused.At) {
				b.t.Errorf("another value sees %+v", other.Paused)
			}
			if o := b.must(spec.VerbResume, d); o.Paused != nil {
				b.t.Errorf("after resume it is paused: %+v", o.Paused)
			}
			if other := b.observeBy(b.Reopen(), "web"); other.Paused != nil {
				b.t.Errorf("another value still sees %+v", other.Paused)
			}
		}},
		{"and resume leave the process alone", func(b *bench) {
			d := b.daemon("web", b.stay())
			before := b.start(d)
			b.sameInstance(before, b.must(spec.VerbPause, d))
			b.sameInstance(before, b.must(spec.VerbResume, d))
			b.onlyCopy()
		}},
		{"again keeps the first one", func(b *bench) {
			d := b.daemon("web", b.stay())
			first := b.must(spec.VerbPause, d)
			s := b.step(spec.VerbPause, d)
			s.By = "somebody else"
			if again := b.mustStep(s); again.Paused.By != "suite" || !again.Paused.At.Equal(first.Paused.At) {
				b.t.Errorf("the pause became %+v", again.Paused)
			}
			b.must(spec.VerbResume, d)
			b.must(spec.VerbResume, d)
		}},
		{"outlives stop and start", func(b *bench) {
			d := b.daemon("web", b.stay())
			b.start(d)
			b.must(spec.VerbPause, d)
			if o := b.must(spec.VerbStop, d); o.Paused == nil {
				b.t.Error("the stop forgot the pause")
			}
			if o := b.start(d); o.Paused == nil {
				b.t.Error("the start forgot the pause: only resume may")
			}
		}},
		{"goes with what is removed", func(b *bench) {
			d := b.daemon("web", b.stay())
			b.start(d)
			b.must(spec.VerbPause, d)
			b.must(spec.VerbStop, d)
			if o := b.must(spec.VerbRemove, d); o.Paused != nil {
				b.t.Errorf("left is the pause %+v", o.Paused)
			}
		}},
		{"comes too late for what was removed", func(b *bench) {
			d := b.daemon("web", b.stay())
			b.start(d)
			s := b.step(spec.VerbPause, d)
			b.must(spec.VerbStop, d)
			b.must(spec.VerbRemove, d)
			b.mustFail(s, drivers.ErrMoved)
			if o := b.observe("web"); o.Paused != nil {
				b.t.Errorf("the next daemon of that name would be paused: %+v", o.Paused)
			}
		}},
		{"of one is not another's", func(b *bench) {
			b.must(spec.VerbPause, b.daemon("web", b.stay()))
			for _, name := range []string{"web2", "we", "api"} {
				if o := b.observe(name); o.Paused != nil {
					b.t.Errorf("%s is paused", name)
				}
			}
		}},
	}
}
