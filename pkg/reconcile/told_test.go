package reconcile

import (
	"context"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"reconciler.dev/reconciler/pkg/drivers"
	"reconciler.dev/reconciler/pkg/drivers/driverstest"
	"reconciler.dev/reconciler/pkg/spec"
)

// farDriver is a driver over a long link, whose watch brings how daemons are where tells says so.
type farDriver struct {
	drivers.Driver
	tells atomic.Bool
}

const longWay = time.Second

func (d *farDriver) Observe(ctx context.Context, names ...string) ([]spec.Observed, error) {
	time.Sleep(2 * longWay)
	return d.Driver.Observe(ctx, names...)
}

func (d *farDriver) Told(name string) (spec.Observed, bool) {
	if !d.tells.Load() {
		return spec.Observed{}, false
	}
	found, err := d.Driver.Observe(context.Background(), name)
	return found[0], err == nil
}

// TestAnExitThatIsToldIsSeenAtOnce: a run asks nobody for what its watch has brought, and asks where it has brought nothing.
func TestAnExitThatIsToldIsSeenAtOnce(t *testing.T) {
	for _, tells := range []bool{true, false} {
		synctest.Test(t, func(t *testing.T) {
			fake := driverstest.NewFake()
			far := &farDriver{Driver: fake}
			far.tells.Store(tells)
			exited := make(chan time.Time, 1)
			e := New(driverstest.NewHost(far), Options{Owner: spec.Owner{Set: "default", Holder: "1"}, Report: func(p Progress) {
				if p.Phase == "exited" && strings.Contains(p.Message, "SIGKILL") {
					exited <- time.Now()
				}
			}})
			ctx, cancel := context.WithCancel(t.Context())
			ended := make(chan error, 1)
			go func() {
				ended <- e.Run(ctx, &manifests{wants: []*spec.Daemon{manifest("a")}}, RunOptions{Holder: drivers.Holder{ID: "1", Set: "default"}})
			}()
			time.Sleep(time.Minute)
			began := time.Now()
			fake.Crash("a", spec.Exit{Known: true, Signal: "SIGKILL"})
			if late := (<-exited).Sub(began); (late == 0) != tells {
				t.Errorf("told %v: it was seen %s later", tells, late)
			}
			time.Sleep(time.Minute)
			if found, err := fake.Observe(t.Context(), "a"); err != nil || found[0].State != spec.Running {
				t.Errorf("told %v: it is %+v, %v", tells, found, err)
			}
			cancel()
			<-ended
		})
	}
}
