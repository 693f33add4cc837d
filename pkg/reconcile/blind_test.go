package reconcile

import (
	"context"
	"errors"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"reconciler.dev/reconciler/pkg/drivers"
	"reconciler.dev/reconciler/pkg/drivers/driverstest"
	"reconciler.dev/reconciler/pkg/spec"
)

// blind is a driver that can't watch.
type blind struct{ drivers.Driver }

func (blind) Watch(context.Context, func(string)) error { return errors.New("too many open files") }
func (b blind) Unwrap() drivers.Driver                  { return b.Driver }

// blindHost has only such drivers.
type blindHost struct{ *driverstest.Host }

func (h blindHost) Drivers() []drivers.Driver {
	var all []drivers.Driver
	for _, d := range h.Host.Drivers() {
		all = append(all, blind{d})
	}
	return all
}

func (h blindHost) Driver(kind spec.DriverKind) (drivers.Driver, error) {
	d, err := h.Host.Driver(kind)
	return blind{d}, err
}

// TestAnApplyLooksWhereItCantWatch sees a daemon end three times long before its own time is up.
func TestAnApplyLooksWhereItCantWatch(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBench()
		b.Fake().Behave("web", driverstest.Behaviour{Start: func(p *driverstest.Proc) { p.After(100*time.Millisecond, func() { p.Exit(3) }) }})
		e, began := New(blindHost{b.Host}, b.e.opt), time.Now()
		_, err := applyWith(t, e, ApplyOptions{Wait: true, Timeout: time.Minute}, PruneOptions{}, manifest("web"))
		if err == nil || !strings.Contains(err.Error(), "it exited with status 3") {
			t.Errorf("it said %v", err)
		}
		if took := time.Since(began); took > 20*time.Second {
			t.Errorf("it took %v", took)
		}
	})
}
