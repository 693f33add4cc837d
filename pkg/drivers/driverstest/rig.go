package driverstest

import (
	"context"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"reconciler.dev/reconciler/pkg/drivers"
	"reconciler.dev/reconciler/pkg/spec"
)

// Rig is a driver in the hands of its own tests, and words for what those do with it all the time. What isn't as it must be ends the test.
type Rig struct {
	testing.TB
	Driver drivers.Driver
	// Logs is the directory of the daemons' logs.
	Logs string
}

// patience is how long a Rig waits for what must come.
const patience = time.Minute

// Want is a daemon that runs a program with arguments.
func Want(kind spec.DriverKind, name, binary string, args ...string) *spec.Daemon {
	d := &spec.Daemon{
		Metadata: spec.Metadata{Name: name}, Digest: "sha256:" + name,
		Spec: spec.Spec{Driver: kind, Binary: binary, Args: args, Stop: spec.Stop{GracePeriod: spec.Duration(5 * time.Second)}},
	}
	spec.Defaults(&d.Spec)
	return d
}

// Look looks at one daemon. That may be done while the test is cleaned up.
func (r *Rig) Look(name string) spec.Observed {
	r.Helper()
	o, err := r.Driver.Observe(context.WithoutCancel(r.Context()), name)
	if err != nil {
		r.Fatal(err)
	}
	return o[0]
}

// Until looks until met is true.
func (r *Rig) Until(name string, met func(spec.Observed) bool) spec.Observed {
	r.Helper()
	for deadline := time.Now().Add(patience); ; <-time.After(time.Millisecond) {
		o := r.Look(name)
		if met(o) {
			return o
		}
		if time.Now().After(deadline) {
			r.Fatalf("it stays %s: %+v, instance %+v", o.State, o, o.Instance)
		}
	}
}

// Is is a state for Until.
func Is(s spec.State) func(spec.Observed) bool {
	return func(o spec.Observed) bool { return o.State == s }
}

// Step returns a step against what is there now.
func (r *Rig) Step(verb spec.Verb, d *spec.Daemon) spec.Step {
	r.Helper()
	s := spec.Step{Verb: verb, Name: d.Name, Want: d, Owner: spec.Owner{Set: "test"}, Generation: 1, Tool: "test", Stop: d.Spec.Stop}
	if o := r.Look(d.Name); o.Instance != nil {
		s.Instance = o.Instance.ID
	}
	if verb == spec.VerbStop || verb == spec.VerbRemove {
		s.Want = nil
	}
	return s
}

// Do does a step against what is there now, and returns what is there then.
func (r *Rig) Do(verb spec.Verb, d *spec.Daemon) spec.Observed {
	r.Helper()
	if err := r.Driver.Apply(r.Context(), r.Step(verb, d)); err != nil {
		r.Fatal(err)
	}
	return r.Look(d.Name)
}

// Start starts d, which must run then.
func (r *Rig) Start(d *spec.Daemon) spec.Observed {
	r.Helper()
	o := r.Do(spec.VerbStart, d)
	if o.State != spec.Running || o.Instance == nil || o.Instance.PID == 0 {
		r.Fatalf("after the start it is %s: %s, instance %+v", o.State, o.Message, o.Instance)
	}
	return o
}

// Said returns what a daemon has printed.
func (r *Rig) Said(name string) string {
	r.Helper()
	text, err := os.ReadFile(filepath.Join(r.Logs, name+".log"))
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		r.Fatal(err)
	}
	return string(text)
}

// Says waits until a daemon has printed text, and returns all that it has.
func (r *Rig) Says(name, text string) string {
	r.Helper()
	for deadline := time.Now().Add(patience); ; <-time.After(time.Millisecond) {
		said := r.Said(name)
		if strings.Contains(said, text) {
			return said
		}
		if time.Now().After(deadline) {
			r.Fatalf("%q isn't in the log: %q", text, said)
		}
	}
}

// Each does a step for each daemon, workers at a time, and returns what that took.
func (r *Rig) Each(verb spec.Verb, ds []*spec.Daemon, workers int) time.Duration {
	r.Helper()
	todo := make(chan spec.Step, len(ds))
	for _, d := range ds {
		todo <- r.Step(verb, d)
	}
	close(todo)
	began := time.Now()
	var wg sync.WaitGroup
	for range workers {
		wg.Go(func() {
			for s := range todo {
				if err := r.Driver.Apply(r.Context(), s); err != nil {
					r.Error(err)
				}
			}
		})
	}
	wg.Wait()
	return time.Since(began)
}
