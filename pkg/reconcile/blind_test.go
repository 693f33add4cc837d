package reconcile

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"

	"reconciler.dev/reconciler/pkg/drivers"
	"reconciler.dev/reconciler/pkg/drivers/driverstest"
	"reconciler.dev/reconciler/pkg/spec"
)

// blind is a driver that can't watch.
type blind struct{ drivers.Driver }

func (b blind) Watch(context.Context, func(string)) error {
	return fmt.Errorf("watch %s daemons: %w", b.Kind(), syscall.EMFILE)
}
func (b blind) Unwrap() drivers.Driver { return b.Driver }

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

// TestWhatARunCantWatchIsToldOnce, however often it is tried again, and its daemons are looked at all the same.
func TestWhatARunCantWatchIsToldOnce(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBench()
		var mu sync.Mutex
		var told []string
		e := New(blindHost{b.Host}, Options{Owner: b.e.opt.Owner, Report: func(p Progress) {
			mu.Lock()
			defer mu.Unlock()
			if p.Phase == "not watching" {
				told = append(told, p.Message)
			}
		}})
		ctx, cancel := context.WithCancel(t.Context())
		ended := make(chan error, 1)
		go func() {
			ended <- e.Run(ctx, &manifests{wants: []*spec.Daemon{manifest("web")}}, RunOptions{Resync: time.Minute})
		}()
		time.Sleep(time.Hour)
		cancel()
		if err := <-ended; !errors.Is(err, context.Canceled) {
			t.Error(err)
		}
		want := []string{"the process daemons: watch process daemons: too many open files; looking every 1m0s instead"}
		if diff := cmp.Diff(want, told); diff != "" {
			t.Errorf("told (-want +got):\n%s", diff)
		}
	})
}

func TestUnwatched(t *testing.T) {
	var u unwatched
	full := func(what string) error { return fmt.Errorf("watch %s: %w", what, syscall.EMFILE) }
	tell := func(want ...string) {
		t.Helper()
		if diff := cmp.Diff(want, u.news()); diff != "" {
			t.Errorf("told (-want +got):\n%s", diff)
		}
	}
	u.fails("b", full("bs"))
	u.fails("a", full("as"))
	u.fails("c", errors.New("no such folder"))
	tell("c: no such folder", "a, b: watch as: too many open files")
	u.fails("a", full("as"))
	u.fails("d", full("ds"))
	tell() // the reason is known
	u.sees("a")
	u.sees("b")
	u.fails("a", full("as"))
	tell() // there was d all the time
	u.sees("d")
	u.sees("a")
	u.sees("a")
	u.fails("b", full("bs"))
	tell("b: watch bs: too many open files")
}
