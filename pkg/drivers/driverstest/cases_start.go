package driverstest

import (
	"errors"
	"fmt"
	"strings"
	"sync"
	"time"

	"github.com/google/go-cmp/cmp"

	"reconciler.dev/reconciler/pkg/drivers"
	"reconciler.dev/reconciler/pkg/spec"
)

func startCases() []testCase {
	return []testCase{
		{"makes it Running, and the stamp comes back as it was given", func(b *bench) {
			d := b.daemon("web", b.stay())
			d.Labels = map[string]string{"app": "größe", "漢字": "ok", "empty": ""}
			d.Annotations = map[string]string{"note": "line 1\nline 2\t\"quoted\" $HOME %n \\ ünï 🚀"}
			sealed(d)
			began := time.Now()
			s := b.step(spec.VerbStart, d)
			s.Owner, s.Generation = spec.Owner{Set: "team-a", Holder: "h1", TakenFrom: "h0"}, 7
			o := b.mustStep(s)
			if o.State != spec.Running || o.Stamp == nil || o.Instance == nil {
				b.t.Fatalf("after the start: %+v", o)
			}
			if at := o.Stamp.AppliedAt; at.Before(began.Add(-time.Second)) || at.After(time.Now().Add(time.Second)) {
				b.t.Errorf("stamped as applied at %s, it is %s", at, time.Now())
			}
			want := drivers.NewStamp(s, nil, o.Stamp.AppliedAt)
			if d := cmp.Diff(want, o.Stamp); d != "" {
				b.t.Errorf("the stamp differs (-want +got):\n%s", d)
			}
		}},
		{"gives an instance its identity", func(b *bench) {
			s := b.step(spec.VerbStart, b.daemon("web", b.stay()))
			s.Generation = 3
			began := time.Now()
			i := b.mustStep(s).Instance
			if i.ID == "" || i.PID <= 0 || !b.m.Alive(i.PID) || i.StartTicks == 0 || i.BootID == "" {
				b.t.Errorf("it can't be identified: %+v", i)
			}
			if i.Generation != 3 || i.SpecDigest != s.Want.Digest || i.Exit != nil || i.Last != nil || i.Restarts != 0 {
				b.t.Errorf("wrong instance: %+v", i)
			}
			if i.StartedAt.Before(began.Add(-2*time.Second)) || i.StartedAt.After(time.Now().Add(2*time.Second)) {
				b.t.Errorf("started at %s, it is %s", i.StartedAt, time.Now())
			}
			b.eventually("the program reports", func() bool { return len(b.lines("leader", "")) == 1 })
			if got := b.begun("leader").PID; got != i.PID {
				b.t.Errorf("the process is %d, the instance says %d", got, i.PID)
			}
		}},
		{"again does nothing", func(b *bench) {
			s := b.step(spec.VerbStart, b.daemon("web", b.stay()))
			before := b.mustStep(s)
			b.sameInstance(before, b.mustStep(s))
			b.sameInstance(before, b.must(spec.VerbStart, s.Want))
			b.onlyCopy()
		}},
		{"from two processes at once makes one copy", func(b *bench) {
			s := b.step(spec.VerbStart, b.daemon("web", b.stay()))
			var wg sync.WaitGroup
			errs := make([]error, 8)
			for i := range errs {
				d := b.Reopen()
				wg.Go(func() { errs[i] = d.Apply(b.t.Context(), s) })
			}
			wg.Wait()
			for _, err := range errs {
				if err != nil && !errors.Is(err, drivers.ErrMoved) {
					b.t.Error(err)
				}
			}
			b.wantState("web", spec.Running)
			b.onlyCopy()
		}},
		{"of many at once makes one copy of each", func(b *bench) {
			var wg sync.WaitGroup
			for i := range 20 {
				o := b.stay()
				o.Role = fmt.Sprint("leader", i)
				s := b.step(spec.VerbStart, b.daemon(fmt.Sprint("web", i), o))
				wg.Go(func() {
					if err := b.Driver.Apply(b.t.Context(), s); err != nil {
						b.t.Error(err)
					}
				})
			}
			wg.Wait()
			for i := range 20 {
				b.wantState(fmt.Sprint("web", i), spec.Running)
				b.eventually("it reports", func() bool { return len(b.lines(fmt.Sprint("leader", i), "")) == 1 })
			}
		}},
		{"against another instance is refused", func(b *bench) {
			b.start(b.daemon("web", b.stay()))
			before := b.kill("web")
			s := b.step(spec.VerbStart, b.daemon("web", b.stay()))
			for _, other := range []string{"", "another"} {
				s.Instance = other
				b.mustFail(s, drivers.ErrMoved)
			}
			after := b.wantState("web", spec.Exited)
			b.sameInstance(before, after)
		}},
		{"beside a live instance of another spec is refused", func(b *bench) {
			before := b.start(b.daemon("web", b.stay()))
			o := b.stay()
			o.Rest = []string{"changed"}
			s := b.step(spec.VerbStart, b.daemon("web", o))
			s.Generation = 2
			b.mustFail(s, drivers.ErrMoved)
			after := b.wantState("web", spec.Running)
			b.sameInstance(before, after)
			if after.Stamp.Generation != 1 {
				b.t.Errorf("a refused start stamped generation %d", after.Stamp.Generation)
			}
			b.onlyCopy()
		}},
		{"of what can't be run is permanent, and leaves nothing running", func(b *bench) {
			for what, path := range b.m.Broken() {
				d := b.daemon("web", b.stay())
				d.Spec.Binary = path
				s := b.step(spec.VerbStart, sealed(d))
				b.mustFail(s, drivers.ErrPermanent)
				if err := b.apply(s); !strings.Contains(err.Error(), path) {
					b.t.Errorf("%s: the error doesn't name %s: %v", what, path, err)
				}
				if o := b.observe("web"); o.State != spec.Absent && o.State != spec.Exited {
					b.t.Errorf("%s: it is %s", what, o.State)
				}
			}
		}},
		{"succeeds after one that couldn't", func(b *bench) {
			d := b.daemon("web", b.stay())
			d.Spec.Binary = b.m.Broken()["missing"]
			b.mustFail(b.step(spec.VerbStart, sealed(d)), drivers.ErrPermanent)
			b.start(b.daemon("web", b.stay()))
			b.wantState("web", spec.Running)
			b.onlyCopy()
		}},
		{"in a directory that isn't there is refused, and leaves nothing running", func(b *bench) {
			d := b.daemon("web", b.stay())
			d.Spec.WorkingDir = b.dir + "/missing"
			s := b.step(spec.VerbStart, sealed(d))
			b.mustFail(s, drivers.ErrPermanent)
			if o := b.observe("web"); o.State != spec.Absent && o.State != spec.Exited {
				b.t.Errorf("it is %s", o.State)
			}
		}},
		{"after an end makes a new instance that counts", func(b *bench) {
			d := b.daemon("web", b.stay())
			first := b.start(d)
			b.kill("web")
			s := b.step(spec.VerbStart, d)
			s.Restart, s.Attempts = true, 4
			second := b.mustStep(s).Instance
			if second.ID == first.Instance.ID || second.Restarts != 1 || second.Attempts != 4 {
				b.t.Errorf("the restart made %+v", second)
			}
			if second.Last == nil || second.Exit != nil {
				b.t.Errorf("the end before isn't the last end: %+v", second)
			}
			b.eventually("it reports", func() bool { return len(b.lines("leader", "")) == 2 })
			b.kill("web")
			s = b.step(spec.VerbStart, d)
			s.Restart, s.Attempts = true, 5
			if third := b.mustStep(s).Instance; third.Restarts != 2 || third.Attempts != 5 {
				b.t.Errorf("the second restart made %+v", third)
			}
			b.eventually("it reports", func() bool { return len(b.lines("leader", "")) == 3 })
		}},
	}
}

// onlyCopy fails unless one process reported, and lives. It gives a second one a little time to show up.
func (b *bench) onlyCopy() {
	b.t.Helper()
	b.eventually("the program reports", func() bool { return len(b.lines("leader", "")) > 0 })
	<-time.After(soon)
	if n := len(b.lines("leader", "")); n != 1 || b.copies() != 1 {
		b.t.Fatalf("%d copies were started and %d are alive, want one", n, b.copies())
	}
}

// kill ends the main process behind the driver's back and returns what is seen once it has ended.
func (b *bench) kill(name string) spec.Observed {
	b.t.Helper()
	if err := b.m.Signal(b.observe(name).Instance.PID, "SIGKILL"); err != nil {
		b.t.Fatal(err)
	}
	return b.becomes(name, spec.Exited)
}
