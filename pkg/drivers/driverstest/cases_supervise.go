package driverstest

import (
	"errors"
	"time"

	"reconciler.dev/reconciler/pkg/drivers"
	"reconciler.dev/reconciler/pkg/spec"
)

// superviseCases are what a platform promises that starts daemons again by itself; for all others there is nothing to promise here.
func superviseCases() []testCase {
	cases := []testCase{
		{"a daemon that dies is started again, as another instance", func(b *bench) {
			before := b.start(b.supervised("web", spec.RestartAlways)).Instance
			b.die("web")
			after := b.restarted("web", before)
			if after.Restarts != before.Restarts+1 || after.Generation != 1 || after.SpecDigest != before.SpecDigest {
				b.t.Errorf("%+v was followed by %+v", before, after)
			}
			if l := after.Last; l == nil || l.Asked {
				b.t.Errorf("the last end is %+v, want one that nobody asked for", l)
			}
			b.onlyOneAlive()
		}},
		{"one that ends well is started again, or not, as its policy says", func(b *bench) {
			o := b.stay()
			o.Exit, o.After = 0, 50*time.Millisecond
			d := b.daemon("web", o)
			d.Spec.Restart.Policy, d.Spec.Restart.Backoff.Initial = spec.RestartAlways, seconds(0.1)
			b.must(spec.VerbStart, sealed(d))
			b.eventually("it runs again", func() bool { return len(b.lines("leader", "")) > 1 })
			b.eventually("it is stopped between two starts", func() bool { return b.keepsUp(spec.VerbStop, d) })
			n := len(b.lines("leader", ""))
			d.Spec.Restart.Policy = spec.RestartOnFailure
			b.must(spec.VerbStart, sealed(d))
			if e := b.becomes("web", spec.Exited).Instance.Exit; e == nil || !e.Known || e.Code != 0 {
				b.t.Errorf("exit %+v, want status 0", e)
			}
			<-time.After(2 * soon)
			if got := len(b.lines("leader", "")); got != n+1 {
				b.t.Errorf("it was started %d times, want once", got-n)
			}
		}},
		{"one that is about to be started again is Exited, and says so", func(b *bench) {
			d := b.supervised("web", spec.RestartAlways)
			d.Spec.Restart.Backoff.Initial = seconds(30)
			b.start(sealed(d))
			var end spec.Observed
			b.eventually("it is started before it is started again", func() (seen bool) {
				end, seen = b.dies("web")
				return seen && b.keepsUp(spec.VerbStart, d)
			})
			if e := end.Instance.Exit; !end.Restarting || e == nil || !e.Known || e.Signal != "SIGKILL" || e.Asked {
				b.t.Errorf("it is %+v", end)
			}
			if o := b.wantState("web", spec.Running); o.Restarting || o.Instance.Last == nil || o.Instance.Last.Signal != "SIGKILL" {
				b.t.Errorf("after a start in between it is %+v, %+v", o, o.Instance)
			}
			b.onlyOneAlive()
		}},
		{"what is stopped or removed stays so", func(b *bench) {
			d := b.supervised("web", spec.RestartAlways)
			d.Spec.Restart.Backoff.Initial = seconds(1)
			b.start(sealed(d))
			b.eventually("it is removed before it is started again", func() bool {
				_, seen := b.dies("web")
				return seen && b.keepsUp(spec.VerbRemove, d)
			})
			b.start(d)
			b.must(spec.VerbStop, d)
			n := len(b.lines("leader", ""))
			<-time.After(8 * soon)
			if got := len(b.lines("leader", "")); got != n || b.copies() != 0 {
				b.t.Errorf("it was started %d times more, %d are alive", got-n, b.copies())
			}
			b.wantState("web", spec.Exited)
		}},
	}
	for i, c := range cases {
		cases[i].run = func(b *bench) {
			if b.Supervises {
				c.run(b)
			}
		}
	}
	return cases
}

// supervised is a daemon that the platform starts again at once.
func (b *bench) supervised(name string, p spec.RestartPolicy) *spec.Daemon {
	d := b.daemon(name, b.stay())
	d.Spec.Restart.Policy, d.Spec.Restart.Backoff.Initial = p, seconds(0.1)
	return sealed(d)
}

// die ends the main process behind the driver's back.
func (b *bench) die(name string) {
	b.t.Helper()
	if err := b.m.Signal(b.observe(name).Instance.PID, "SIGKILL"); err != nil {
		b.t.Fatal(err)
	}
}

// dies ends the main process behind the driver's back and returns what is seen of that, unless the platform was quicker and started it again: some do so in a tenth of a second.
func (b *bench) dies(name string) (end spec.Observed, seen bool) {
	b.t.Helper()
	before := b.becomes(name, spec.Running).Instance
	b.die(name)
	b.eventually(name+" ends", func() bool {
		end = b.observe(name)
		return end.State == spec.Exited || end.Instance.ID != before.ID
	})
	return end, end.State == spec.Exited
}

// keepsUp does a step, unless the platform started the daemon again since the look that the step follows from.
func (b *bench) keepsUp(verb spec.Verb, d *spec.Daemon) bool {
	b.t.Helper()
	err := b.apply(b.step(verb, d))
	if err != nil && !errors.Is(err, drivers.ErrMoved) {
		b.t.Fatal(err)
	}
	return err == nil
}

// restarted waits for the instance after one.
func (b *bench) restarted(name string, before *spec.Instance) (after *spec.Instance) {
	b.t.Helper()
	b.eventually(name+" runs again", func() bool {
		o := b.observe(name)
		after = o.Instance
		return o.State == spec.Running && after.ID != before.ID
	})
	return after
}

func (b *bench) onlyOneAlive() {
	b.t.Helper()
	b.eventually("one copy is alive", func() bool { return b.copies() == 1 })
}
