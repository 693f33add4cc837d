package reconcile

import (
	"bytes"
	"context"
	"errors"
	"io"
	"sync"
	"sync/atomic"
	"testing"

	"reconciler.dev/reconciler/pkg/drivers"
	"reconciler.dev/reconciler/pkg/drivers/driverstest"
	"reconciler.dev/reconciler/pkg/spec"
)

// placing is a driver that notes what is installed and uninstalled.
type placing struct {
	drivers.Driver
	mu    sync.Mutex
	steps []spec.Step
	err   error
}

func (p *placing) Apply(ctx context.Context, s spec.Step) error {
	if s.Verb != spec.VerbInstall && s.Verb != spec.VerbUninstall {
		return p.Driver.Apply(ctx, s)
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	p.steps = append(p.steps, s)
	return p.err
}

// content is a program that counts how often it is opened.
type content struct{ *bytes.Reader }

func (content) Close() error { return nil }

func programOf(text string, opened *atomic.Int64) *spec.Program {
	return &spec.Program{Digest: driverstest.ContentDigest([]byte(text)), Size: int64(len(text)), Open: func() (io.ReadSeekCloser, error) {
		opened.Add(1)
		return content{bytes.NewReader([]byte(text))}, nil
	}}
}

func installed(name string, p *spec.Program) *spec.Daemon {
	d := &spec.Daemon{Metadata: spec.Metadata{Name: name}, Digest: "sha256:" + name, Program: p}
	d.Spec.Binary, d.Spec.Install = "/opt/"+name, &spec.Install{To: "/opt/" + name, Digest: p.Digest}
	return d
}

// TestAProgramOfManyDaemonsIsSentOnce, though they are all worked on at once.
func TestAProgramOfManyDaemonsIsSentOnce(t *testing.T) {
	host, opened := driverstest.NewHost(), new(atomic.Int64)
	e, p := New(host, Options{}), programOf("a program", opened)
	var wg sync.WaitGroup
	for range 20 {
		wg.Go(func() {
			if err := e.keepProgram(t.Context(), installed("web", p)); err != nil {
				t.Error(err)
			}
		})
	}
	wg.Wait()
	if _, whole, err := host.Stored(t.Context(), p.Digest); !whole || err != nil || opened.Load() != 1 {
		t.Errorf("whole %v, %v, opened %d times", whole, err, opened.Load())
	}
}

func TestInstallStartsNothing(t *testing.T) {
	drv := &placing{Driver: driverstest.NewFake()}
	host, opened := driverstest.NewHost(drv), new(atomic.Int64)
	e := New(host, Options{Owner: spec.Owner{Set: "shop"}})
	plain := &spec.Daemon{Metadata: spec.Metadata{Name: "plain"}, Digest: "sha256:plain"}
	r, err := e.Review(t.Context(), []*spec.Daemon{installed("web", programOf("a program", opened)), plain}, PruneOptions{})
	if err != nil {
		t.Fatal(err)
	}
	items, err := e.Install(t.Context(), r)
	if err != nil || items[0].Action != Installed || items[1].Action != Unchanged {
		t.Errorf("%v, %+v", err, items)
	}
	if len(drv.steps) != 1 || drv.steps[0].Verb != spec.VerbInstall || drv.steps[0].Name != "web" || opened.Load() != 1 {
		t.Errorf("done were %+v, and it was sent %d times", drv.steps, opened.Load())
	}
	if found, err := drv.Observe(t.Context(), "web"); err != nil || found[0].State != spec.Absent {
		t.Errorf("web is %+v, %v", found, err)
	}
}

func TestUninstallTellsWhatTheDriverSays(t *testing.T) {
	drv := &placing{Driver: driverstest.NewFake()}
	e := New(driverstest.NewHost(drv), Options{Force: true})
	items, err := e.Uninstall(t.Context(), []string{"web", "db"})
	if err != nil || items[0].Action != Uninstalled || items[1].Action != Uninstalled || len(drv.steps) != 2 || !drv.steps[0].Force {
		t.Errorf("%v, %+v, %+v", err, items, drv.steps)
	}
	drv.err = drivers.ErrConflict
	if items, err := e.Uninstall(t.Context(), []string{"web"}); !errors.Is(err, drivers.ErrConflict) || items[0].Action != Failed {
		t.Errorf("%v, %+v", err, items)
	}
	if _, err := e.InstallAgain(t.Context(), []string{"web"}); !errors.Is(err, drivers.ErrNotFound) {
		t.Errorf("to install again what never was: %v", err)
	}
}
