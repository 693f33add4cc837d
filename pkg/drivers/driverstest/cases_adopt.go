package driverstest

import (
	"errors"
	"slices"
	"strings"

	"reconciler.dev/reconciler/pkg/drivers"
	"reconciler.dev/reconciler/pkg/spec"
)

func adoptCases() []testCase {
	return []testCase{
		{"a new driver value sees the same instance and doesn't touch it", func(b *bench) {
			before := b.start(b.daemon("web", b.stay()))
			other := b.Reopen()
			after := b.observeBy(other, "web")
			b.sameInstance(before, after)
			if after.State != spec.Running || after.Stamp == nil || after.Stamp.Digest != before.Stamp.Digest {
				b.t.Errorf("it sees %+v", after)
			}
			if names, err := other.List(b.ctx()); err != nil || !slices.Equal(names, []string{"web"}) {
				b.t.Errorf("it lists %v, %v", names, err)
			}
			b.onlyCopy()
		}},
		{"a new driver value hears of the death", func(b *bench) {
			b.start(b.daemon("web", b.stay()))
			w := b.watch(b.Reopen())
			w.forget()
			b.kill("web")
			w.hears("web")
		}},
		{"a new driver value stops it, its tree and all", func(b *bench) {
			o := b.stay()
			o.Child = "orphan"
			d := b.daemon("web", o)
			d.Spec.Stop.GracePeriod = seconds(0.3)
			b.start(sealed(d))
			if err := b.Reopen().Apply(b.ctx(), b.step(spec.VerbStop, d)); err != nil {
				b.t.Fatal(err)
			}
			b.gone("leader", "background")
			b.wantState("web", spec.Exited)
		}},
		{"a new driver value starts no second copy", func(b *bench) {
			d := b.daemon("web", b.stay())
			b.start(d)
			if err := b.Reopen().Apply(b.ctx(), b.step(spec.VerbStart, d)); err != nil {
				b.t.Fatal(err)
			}
			b.onlyCopy()
		}},
		{"every driver value tells of the same end", func(b *bench) {
			d := b.daemon("web", b.stay())
			b.start(d)
			b.must(spec.VerbStop, d)
			mine, theirs := b.observe("web"), b.observeBy(b.Reopen(), "web")
			b.sameInstance(mine, theirs)
			if m, t := mine.Instance.Exit, theirs.Instance.Exit; t == nil || m.Known != t.Known || m.Signal != t.Signal || !t.Asked || !m.At.Equal(t.At) {
				b.t.Errorf("one tells of %+v, the other of %+v", m, t)
			}
		}},
	}
}

func refuseCases() []testCase {
	ask := map[string]func(*spec.Cgroup){
		"spec.cgroup.cpuLimit":    func(c *spec.Cgroup) { c.CPULimit = 500 },
		"spec.cgroup.memoryLimit": func(c *spec.Cgroup) { c.MemoryLimit = 1 << 30 },
		"spec.cgroup.memoryHigh":  func(c *spec.Cgroup) { c.MemoryHigh = 1 << 29 },
		"spec.cgroup.pidsLimit":   func(c *spec.Cgroup) { c.PidsLimit = 100 },
		"spec.cgroup.cpuWeight":   func(c *spec.Cgroup) { c.CPUWeight = 50 },
		"spec.cgroup.ioWeight":    func(c *spec.Cgroup) { c.IOWeight = 50 },
	}
	return []testCase{
		{"every limit that isn't enforced is listed with a reason", func(b *bench) {
			d := b.daemon("web", b.stay())
			d.Spec.Cgroup = &spec.Cgroup{}
			for _, set := range ask {
				set(d.Spec.Cgroup)
			}
			o := b.start(sealed(d))
			for field := range ask {
				i := slices.IndexFunc(o.Lost, func(l spec.Loss) bool { return l.Field == field })
				switch enforced := slices.Contains(b.Enforces, field); {
				case enforced && i >= 0:
					b.t.Errorf("%s is enforced, and yet lost: %s", field, o.Lost[i].Reason)
				case !enforced && i < 0:
					b.t.Errorf("%s is neither enforced nor reported as lost", field)
				case !enforced && o.Lost[i].Reason == "":
					b.t.Errorf("%s is lost without a reason", field)
				}
			}
		}},
		{"a daemon without limits loses none", func(b *bench) {
			d := b.daemon("web", b.stay())
			d.Spec.Cgroup = &spec.Cgroup{Slice: "apps", Service: "web", Instance: "1"}
			for _, l := range b.start(sealed(d)).Lost {
				if ask[l.Field] != nil {
					b.t.Errorf("%s was never asked for", l.Field)
				}
			}
		}},
		{"a required limit that can't be enforced refuses the start", func(b *bench) {
			for field, set := range ask {
				d := b.daemon("web", b.stay())
				d.Spec.Cgroup = &spec.Cgroup{Required: true}
				set(d.Spec.Cgroup)
				s := b.step(spec.VerbStart, sealed(d))
				if slices.Contains(b.Enforces, field) {
					b.mustStep(s)
					b.must(spec.VerbStop, d)
					continue
				}
				b.mustFail(s, drivers.ErrUnsupported)
				if err := b.apply(s); !strings.Contains(err.Error(), strings.TrimPrefix(field, "spec.")) {
					b.t.Errorf("the error doesn't name %s: %v", field, err)
				} else if !strings.Contains(err.Error(), "reconciler doctor") {
					b.t.Errorf("the error doesn't say what to do: %v", err)
				}
				if o := b.observe("web"); o.State != spec.Absent && o.State != spec.Exited {
					b.t.Errorf("it is %s", o.State)
				}
			}
		}},
		{"a check says the same before anything is touched", func(b *bench) {
			c, ok := drivers.Find[drivers.Checker](b.Driver)
			if !ok {
				b.t.Fatal("the driver is no Checker: what it can't do must be known before the old instance is stopped")
			}
			d := b.daemon("web", b.stay())
			if lost, err := c.Check(b.ctx(), d); err != nil || len(lost) != 0 {
				b.t.Errorf("a plain daemon: %+v, %v", lost, err)
			}
			for what, path := range b.m.Broken() {
				broken := *d
				broken.Spec.Binary = path
				if _, err := c.Check(b.ctx(), sealed(&broken)); !errors.Is(err, drivers.ErrPermanent) {
					b.t.Errorf("%s: got %v, want ErrPermanent", what, err)
				}
			}
			for field, set := range ask {
				limited := *d
				limited.Spec.Cgroup = &spec.Cgroup{}
				set(limited.Spec.Cgroup)
				lost, err := c.Check(b.ctx(), sealed(&limited))
				named := slices.ContainsFunc(lost, func(l spec.Loss) bool { return l.Field == field })
				if err != nil || named == slices.Contains(b.Enforces, field) {
					b.t.Errorf("%s: check says %+v, %v", field, lost, err)
				}
				limited.Spec.Cgroup.Required = true
				if _, err := c.Check(b.ctx(), sealed(&limited)); !slices.Contains(b.Enforces, field) && !errors.Is(err, drivers.ErrUnsupported) {
					b.t.Errorf("required %s: got %v, want ErrUnsupported", field, err)
				}
			}
			b.wantState("web", spec.Absent)
			b.wantList()
		}},
		{"a verb that isn't known is refused", func(b *bench) {
			d := b.daemon("web", b.stay())
			s := b.step(spec.VerbStart, d)
			s.Verb = "Dance"
			b.mustFail(s, drivers.ErrUnsupported)
			b.wantState("web", spec.Absent)
		}},
		{"an error names the verb and the daemon", func(b *bench) {
			b.start(b.daemon("web", b.stay()))
			s := b.step(spec.VerbStop, b.daemon("web", b.stay()))
			s.Instance = "another"
			err := b.apply(s)
			if err == nil || !strings.HasPrefix(strings.ToLower(err.Error()), "stop daemon web: ") {
				b.t.Errorf("the error is %v", err)
			}
		}},
	}
}
