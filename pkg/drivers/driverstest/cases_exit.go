package driverstest

import (
	"time"

	"reconciler.dev/reconciler/internal/testprog"
	"reconciler.dev/reconciler/pkg/spec"
)

func exitCases() []testCase {
	return []testCase{
		{"the status is kept", func(b *bench) {
			o := b.stay()
			o.Exit = 42
			e := b.ends(b.daemon("web", o))
			if !e.Known || e.Code != 42 || e.Signal != "" || e.Asked {
				b.t.Errorf("exit %+v, want status 42", e)
			}
		}},
		{"status 0 is kept too", func(b *bench) {
			o := b.stay()
			o.Exit = 0
			if e := b.ends(b.daemon("web", o)); !e.Known || e.Code != 0 || e.Signal != "" {
				b.t.Errorf("exit %+v, want status 0", e)
			}
		}},
		{"a death by signal is kept", func(b *bench) {
			o := b.stay()
			o.Die = "SIGKILL"
			if e := b.ends(b.daemon("web", o)); !e.Known || e.Signal != "SIGKILL" || e.Code != 0 || e.Asked {
				b.t.Errorf("exit %+v, want SIGKILL", e)
			}
		}},
		{"the time since grows, and the end stays", func(b *bench) {
			o := b.stay()
			o.Exit = 1
			first := b.ends(b.daemon("web", o))
			if age := time.Since(first.At); age < -time.Second || age > b.Patience {
				b.t.Errorf("it ended %s ago", age)
			}
			b.eventually("time passes", func() bool { return b.observe("web").Instance.Exit.Since > first.Since })
			if again := b.observe("web").Instance.Exit; !again.At.Equal(first.At) || again.Code != 1 {
				b.t.Errorf("the end changed from %+v to %+v", first, again)
			}
		}},
		{"the end is the last one of the next instance", func(b *bench) {
			o := b.stay()
			o.Exit = 9
			d := b.daemon("web", o)
			b.ends(d)
			if i := b.must(spec.VerbStart, d).Instance; i.Last == nil || !i.Last.Known || i.Last.Code != 9 {
				b.t.Errorf("the last end is %+v, want status 9", i.Last)
			}
			b.eventually("it reports", func() bool { return len(b.lines("leader", "")) == 2 })
		}},
		{"what isn't the daemon's end isn't taken for it", func(b *bench) {
			o := b.stay()
			o.Background = true
			d := b.daemon("web", o)
			d.Spec.Type = spec.TypeForking
			b.must(spec.VerbStart, sealed(d))
			b.eventually("it is in the background", func() bool { return len(b.lines("background", "")) == 1 })
			self := b.begun("background")
			b.eventually("its PID is that of the process that went on", func() bool {
				got := b.wantState("web", spec.Running)
				return got.Instance.PID == self.PID && got.Instance.Exit == nil
			})
			b.sameTree(self)
		}},
		{"a leader's end is none while its children live", func(b *bench) {
			o := b.stay()
			o.Child, o.Exit, o.After = testprog.Session, 0, 50*time.Millisecond
			d := b.daemon("web", o)
			d.Spec.Stop.GracePeriod = seconds(0.3)
			b.start(sealed(d))
			child := b.begun("child")
			b.eventually("the leader ends", func() bool { return b.copies() == 0 })
			if b.EndsWithMain {
				b.becomes("web", spec.Exited)
				b.eventually("the child is gone", func() bool { return !b.m.Alive(child.PID) })
				return
			}
			b.eventually("the child is all there is", func() bool { return b.wantState("web", spec.Running).Instance.PID == child.PID })
			if err := b.m.Signal(child.PID, "SIGKILL"); err != nil {
				b.t.Fatal(err)
			}
			b.becomes("web", spec.Exited)
		}},
	}
}

// ends starts d and returns how it ended by itself.
func (b *bench) ends(d *spec.Daemon) spec.Exit {
	b.t.Helper()
	b.start(d)
	o := b.becomes(d.Name, spec.Exited)
	if o.Instance == nil || o.Instance.Exit == nil || o.Stamp == nil {
		b.t.Fatalf("it ended, and nothing is known of it: %+v", o)
	}
	return *o.Instance.Exit
}

// sameTree fails unless a second look still sees a process of that report.
func (b *bench) sameTree(l testprog.Line) {
	b.t.Helper()
	if !b.m.Alive(l.PID) {
		b.t.Fatalf("process %d (%s) is gone", l.PID, l.Role)
	}
	if o := b.wantState("web", spec.Running); o.Instance.PID != l.PID {
		b.t.Fatalf("the instance is process %d, want %d", o.Instance.PID, l.PID)
	}
}
