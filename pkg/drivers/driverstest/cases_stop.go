package driverstest

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/google/go-cmp/cmp"

	"reconciler.dev/reconciler/internal/testprog"
	"reconciler.dev/reconciler/pkg/drivers"
	"reconciler.dev/reconciler/pkg/spec"
)

func stopCases() []testCase {
	return []testCase{
		{"of nothing is done", func(b *bench) {
			b.must(spec.VerbStop, b.daemon("web", b.stay()))
			b.wantState("web", spec.Absent)
		}},
		{"sends the signal and keeps the stamp", func(b *bench) {
			d := b.daemon("web", b.stay())
			d.Spec.Stop.Signal = "SIGINT"
			b.start(sealed(d))
			o := b.must(spec.VerbStop, d)
			if o.State != spec.Exited || o.Stamp == nil || b.copies() != 0 {
				b.t.Fatalf("after the stop: %+v, %d alive", o, b.copies())
			}
			if e := o.Instance.Exit; e == nil || !e.Asked || e.Known && e.Signal != "SIGINT" {
				b.t.Errorf("exit %+v, want an asked SIGINT", e)
			}
			b.wantList("web")
		}},
		{"notes whom the daemon is taken from, and leaves the rest of the stamp", func(b *bench) {
			d := b.daemon("web", b.stay())
			before := b.start(d)
			s := b.step(spec.VerbStop, d)
			s.Owner = spec.Owner{Set: "another", TakenFrom: "h1"}
			want := *before.Stamp
			want.Owner.TakenFrom = "h1"
			if diff := cmp.Diff(&want, b.mustStep(s).Stamp); diff != "" {
				b.t.Errorf("the stamp is another (-want +got):\n%s", diff)
			}
		}},
		{"of what has ended is done, and the end stays as it was", func(b *bench) {
			o := b.stay()
			o.Exit = 5
			d := b.daemon("web", o)
			b.ends(d)
			if e := b.must(spec.VerbStop, d).Instance.Exit; e.Asked || !e.Known || e.Code != 5 {
				b.t.Errorf("the end became %+v", e)
			}
		}},
		{"again is done", func(b *bench) {
			d := b.daemon("web", b.stay())
			b.start(d)
			s := b.step(spec.VerbStop, d)
			b.mustStep(s)
			b.mustStep(s)
			b.must(spec.VerbStop, d)
		}},
		{"lets it take its time", func(b *bench) {
			o := b.stay()
			o.Linger = 300 * time.Millisecond
			d := b.daemon("web", o)
			b.start(d)
			e := b.must(spec.VerbStop, d).Instance.Exit
			if e == nil || e.Known && (e.Code != 0 || e.Signal != "") {
				b.t.Errorf("exit %+v, want status 0: it was not given its time", e)
			}
		}},
		{"kills what ignores the signal, after the grace period", func(b *bench) {
			o := b.stay()
			o.Ignore = "SIGTERM"
			d := b.daemon("web", o)
			d.Spec.Stop.GracePeriod = seconds(0.3)
			b.start(sealed(d))
			began := time.Now()
			e := b.must(spec.VerbStop, d).Instance.Exit
			if took := time.Since(began); took < 300*time.Millisecond {
				b.t.Errorf("it was killed after %s, its grace period is 300ms", took)
			}
			if e == nil || !e.Asked || e.Known && e.Signal != "SIGKILL" || b.copies() != 0 {
				b.t.Errorf("exit %+v, want an asked SIGKILL; %d alive", e, b.copies())
			}
		}},
		{"ends a child that ignores the signal", func(b *bench) { b.endsTree(testprog.Stubborn, "child") }},
		{"ends a child in another session", func(b *bench) { b.endsTree(testprog.Session, "child") }},
		{"ends a grandchild whose parent is gone", func(b *bench) { b.endsTree(testprog.Orphan, "background") }},
		{"ends what went into the background by itself, and its child", func(b *bench) {
			o := b.stay()
			o.Background, o.Child = true, testprog.Session
			d := b.daemon("web", o)
			d.Spec.Type, d.Spec.Stop.GracePeriod = spec.TypeForking, seconds(0.3)
			b.must(spec.VerbStart, sealed(d))
			b.eventually("it is in the background", func() bool { return len(b.lines("background", "")) == 1 })
			b.must(spec.VerbStop, d)
			b.gone("background", "child")
		}},
		{"ends the children of a leader that is gone", func(b *bench) {
			o := b.stay()
			o.Child, o.Exit = testprog.Session, 0
			d := b.daemon("web", o)
			d.Spec.Stop.GracePeriod = seconds(0.3)
			b.start(sealed(d))
			b.eventually("the leader ends", func() bool { return b.copies() == 0 })
			b.must(spec.VerbStop, d)
			b.gone("child")
		}},
		{"asks by URL first", func(b *bench) {
			o := b.stay()
			o.HTTP, o.Ignore = b.freeAddress(), "SIGTERM"
			d := b.daemon("web", o)
			d.Spec.Stop.URL = "http://" + o.HTTP + "/stop"
			b.start(sealed(d))
			e := b.must(spec.VerbStop, d).Instance.Exit
			if len(b.lines("leader", "POST /stop")) != 1 {
				b.t.Error("the URL wasn't asked, or more than once")
			}
			if e == nil || e.Known && (e.Code != 0 || e.Signal != "") {
				b.t.Errorf("exit %+v, want status 0", e)
			}
		}},
		{"goes on to the signal where no one answers the URL", func(b *bench) {
			d := b.daemon("web", b.stay())
			d.Spec.Stop.URL, d.Spec.Stop.GracePeriod = "http://"+b.freeAddress()+"/stop", seconds(0.3)
			b.start(sealed(d))
			b.must(spec.VerbStop, d)
			b.gone("leader")
		}},
		{"of another instance is refused", func(b *bench) {
			d := b.daemon("web", b.stay())
			before := b.start(d)
			s := b.step(spec.VerbStop, d)
			for _, other := range []string{"", "another"} {
				s.Instance = other
				b.mustFail(s, drivers.ErrMoved)
			}
			b.sameInstance(before, b.wantState("web", spec.Running))
		}},
		{"whose waiting is cancelled can be finished later", func(b *bench) {
			o := b.stay()
			o.Linger = 2 * time.Second
			d := b.daemon("web", o)
			b.start(d)
			s := b.step(spec.VerbStop, d)
			ctx, cancel := context.WithTimeout(b.ctx(), 100*time.Millisecond)
			defer cancel()
			if err := b.Driver.Apply(ctx, s); !errors.Is(err, context.DeadlineExceeded) {
				b.t.Fatalf("got %v, want the deadline", err)
			}
			if got := b.observe("web").State; got != spec.Stopping && got != spec.Running && got != spec.Exited {
				b.t.Errorf("half-way it is %s", got)
			}
			b.mustStep(s)
			b.gone("leader")
			if e := b.wantState("web", spec.Exited).Instance.Exit; e == nil || !e.Asked {
				b.t.Errorf("exit %+v, want an asked one", e)
			}
		}},
		{"is seen as Stopping meanwhile", func(b *bench) {
			o := b.stay()
			o.Linger = 2 * time.Second
			d := b.daemon("web", o)
			b.start(d)
			s := b.step(spec.VerbStop, d)
			done := make(chan error, 1)
			go func() { done <- b.Driver.Apply(b.t.Context(), s) }()
			b.becomes("web", spec.Stopping)
			if err := <-done; err != nil {
				b.t.Error(err)
			}
			b.wantState("web", spec.Exited)
		}},
		{"is followed by a start of a new instance", func(b *bench) {
			d := b.daemon("web", b.stay())
			first := b.start(d)
			b.must(spec.VerbStop, d)
			second := b.start(d)
			if second.Instance.ID == first.Instance.ID || second.State != spec.Running || b.copies() != 1 {
				b.t.Errorf("%+v was followed by %+v", first.Instance, second.Instance)
			}
			if l := second.Instance.Last; l == nil || !l.Asked {
				b.t.Errorf("the last end is %+v, want an asked one", l)
			}
		}},
	}
}

// endsTree fails unless a stop ends a process that the leader left somewhere.
func (b *bench) endsTree(child, role string) {
	b.t.Helper()
	o := b.stay()
	o.Child = child
	d := b.daemon("web", o)
	d.Spec.Stop.GracePeriod = seconds(0.3)
	b.start(sealed(d))
	if !b.m.Alive(b.begun(role).PID) {
		b.t.Fatal("the tree isn't there")
	}
	if o := b.must(spec.VerbStop, d); o.State != spec.Exited {
		b.t.Errorf("after the stop it is %s", o.State)
	}
	b.gone("leader", role)
}

// gone fails where a process of one of the roles is alive.
func (b *bench) gone(roles ...string) {
	b.t.Helper()
	for _, role := range roles {
		for _, l := range b.lines(role, "") {
			if b.m.Alive(l.PID) {
				b.t.Errorf("%s (process %d) is alive", role, l.PID)
			}
		}
	}
}

// freeAddress is an address of the machine that nobody listens at.
func (b *bench) freeAddress() string {
	b.t.Helper()
	return fmt.Sprintf("127.0.0.1:%d", b.m.Port(b.t))
}
