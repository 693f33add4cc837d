package systemd

import (
	"time"

	"reconciler.dev/reconciler/internal/testprog"
	"reconciler.dev/reconciler/pkg/spec"
)

// stopWith stops d in a way of its own and returns how it ended.
func (r *rig) stopWith(d *spec.Daemon, how spec.Stop) spec.Exit {
	r.Helper()
	s := r.step(spec.VerbStop, d)
	s.Stop = how
	if err := r.Apply(r.Context(), s); err != nil {
		r.Fatal(err)
	}
	o := r.look(d.Name)
	if o.State != spec.Exited || o.Instance.Exit == nil || !o.Instance.Exit.Asked || len(o.Drift) != 0 {
		r.Fatalf("after the stop it is %+v, %+v", o, o.Instance)
	}
	return *o.Instance.Exit
}

func stopFaster(r *rig) {
	d := r.daemon("web", func(d *spec.Daemon, o *testprog.Options) {
		o.Ignore, d.Spec.Stop.GracePeriod = "SIGTERM", spec.Duration(time.Minute)
	})
	r.begin(d)
	began := time.Now()
	e := r.stopWith(d, spec.Stop{Signal: "SIGTERM", GracePeriod: spec.Duration(200 * time.Millisecond)})
	if took := time.Since(began); e.Signal != "SIGKILL" || took < 200*time.Millisecond || took > 30*time.Second {
		r.Errorf("it took %s and came to %+v", took, e)
	}
	r.must(spec.VerbStart, d)
}

func stopSlower(r *rig) {
	d := r.daemon("web", func(d *spec.Daemon, o *testprog.Options) {
		o.Linger, d.Spec.Stop.GracePeriod = 600*time.Millisecond, spec.Duration(100*time.Millisecond)
	})
	r.begin(d)
	if e := r.stopWith(d, spec.Stop{Signal: "SIGTERM", GracePeriod: spec.Duration(20 * time.Second)}); e.Code != 0 || e.Signal != "" {
		r.Errorf("it came to %+v, want status 0: it wasn't given its time", e)
	}
	r.begin(d)
	if e := r.stopWith(d, d.Spec.Stop); e.Signal != "SIGKILL" {
		r.Errorf("the next stop came to %+v, want SIGKILL as the unit says", e)
	}
}

func stopBySignal(r *rig) {
	d := r.daemon("web")
	r.begin(d)
	if e := r.stopWith(d, spec.Stop{Signal: "SIGINT", GracePeriod: d.Spec.Stop.GracePeriod}); e.Signal != "SIGINT" {
		r.Errorf("it came to %+v, want SIGINT", e)
	}
}
