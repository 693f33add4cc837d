package reconcile

import (
	"context"
	"testing"
	"testing/synctest"

	"reconciler.dev/reconciler/pkg/drivers"
	"reconciler.dev/reconciler/pkg/drivers/driverstest"
	"reconciler.dev/reconciler/pkg/spec"
)

// slowLook is a driver whose looks wait to be let go.
type slowLook struct {
	drivers.Driver
	begun, let chan struct{}
}

func (d *slowLook) Observe(ctx context.Context, names ...string) ([]spec.Observed, error) {
	d.begun <- struct{}{}
	found, err := d.Driver.Observe(ctx, names...)
	<-d.let
	return found, err
}

// TestALookThatIsAskedForIsANewOne: one that was under way already may have missed what it is asked for.
func TestALookThatIsAskedForIsANewOne(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		fake := driverstest.NewFake()
		slow := &slowLook{fake, make(chan struct{}), make(chan struct{})}
		host := driverstest.NewHost(slow)
		looks, seen := make(chan func(int)), make(chan int, 1)
		ctx, cancel := context.WithCancel(t.Context())
		ended := make(chan error, 1)
		e := New(host, Options{Owner: spec.Owner{Set: "default", Holder: "1"}})
		src := &manifests{wants: []*spec.Daemon{manifest("a")}}
		go func() {
			ended <- e.Run(ctx, src, RunOptions{Holder: drivers.Holder{ID: "1", Set: "default"}, Looks: looks})
		}()
		look := func() { <-slow.begun; slow.let <- struct{}{} }
		look()       // there is none
		look()       // it was started
		<-slow.begun // is it Ready?
		looks <- func(n int) { seen <- n }
		synctest.Wait()
		slow.let <- struct{}{}
		synctest.Wait()
		if len(seen) > 0 {
			t.Error("a look that began before counts")
		}
		look()
		if n := <-seen; n != 1 {
			t.Errorf("%d daemons were looked at", n)
		}
		cancel()
		<-ended
	})
}

func TestALookAtNothingIsOverAtOnce(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		looks, seen := make(chan func(int)), make(chan int, 1)
		keep(t, newBench(), RunOptions{Looks: looks})
		looks <- func(n int) { seen <- n }
		if n := <-seen; n != 0 {
			t.Errorf("%d daemons were looked at", n)
		}
	})
}
