package driverstest

import (
	"context"
	"fmt"
	"io/fs"
	"net"
	"path"
	"slices"
	"strings"
	"syscall"
	"testing"

	"reconciler.dev/reconciler/internal/testprog"
	"reconciler.dev/reconciler/pkg/drivers"
	"reconciler.dev/reconciler/pkg/spec"
)

// Subject is what Run needs to prove the fake.
func (f *Fake) Subject() Subject {
	return Subject{
		Single: true, Driver: f, Reopen: func() drivers.Driver { return f.Reopen() }, Machine: simulated{f.w}, Lacks: []string{"spec.listen"},
		Foreign: func(name string) error { f.Foreign(name, "a unit file"); return nil },
	}
}

// simulated is the fake's machine as the suite sees it.
type simulated struct{ w *world }

func (simulated) Program() string { return simulatedProgram }

func (simulated) Broken() map[string]string {
	return map[string]string{"missing": "/simulated/missing", "not executable": "/simulated/not-executable", "a directory": "/simulated/directory"}
}

func (simulated) Root() bool { return true }

func (simulated) Dir(t *testing.T) string { return "/simulated/" + t.Name() }

func (m simulated) Alive(pid int) (alive bool) {
	m.w.do(func() { alive = m.w.procs[pid] != nil })
	return alive
}

func (m simulated) Signal(pid int, s spec.Signal) (err error) {
	m.w.do(func() {
		if p := m.w.procs[pid]; p != nil {
			p.signal(s)
		} else {
			err = syscall.ESRCH
		}
	})
	return err
}

func (m simulated) Read(path string) (file File, err error) {
	m.w.do(func() {
		var ok bool
		if file, ok = m.w.files[path]; !ok {
			err = &fs.PathError{Op: "read", Path: path, Err: fs.ErrNotExist}
		}
		file.Content = slices.Clone(file.Content)
	})
	return file, err
}

func (m simulated) Write(path string, f File) error {
	m.w.do(func() { m.w.files[path] = f; m.w.touchOwners(path) })
	return nil
}

func (m simulated) Remove(path string) error {
	m.w.do(func() { delete(m.w.files, path); m.w.touchOwners(path) })
	return nil
}

// MakeDir does nothing: the simulated machine has every directory.
func (simulated) MakeDir(string) error { return nil }

// Port is none that anybody could connect to: the simulated machine has no sockets.
func (simulated) Port(*testing.T) int { return 1 }

// Dial finds nobody.
func (simulated) Dial(int) (net.Conn, error) { return nil, syscall.ECONNREFUSED }

func (m simulated) Name(path string) error {
	m.w.do(func() { m.w.names = append(m.w.names, path) })
	return nil
}

// Check says what the simulated machine doesn't enforce and can't start. On it every program, directory and user exists but those that are
// named missing, or begin with no-such, and the Broken ones.
func (f *Fake) Check(ctx context.Context, d *spec.Daemon) ([]spec.Loss, error) {
	if err := f.reach(ctx); err != nil {
		return nil, fmt.Errorf("check daemon %s: %w", d.Name, err)
	}
	l, err := f.check(d)
	if err != nil {
		return l, fmt.Errorf("check daemon %s: %w", d.Name, err)
	}
	return l, nil
}

func (f *Fake) check(d *spec.Daemon) ([]spec.Loss, error) {
	l := f.w.lost(d.Spec.Cgroup)
	if c := d.Spec.Cgroup; c != nil && c.Required && len(l) > 0 {
		return l, drivers.Refusal(l[0])
	}
	if len(d.Spec.Listen) > 0 {
		return l, fmt.Errorf("spec.listen: the simulated machine has no sockets: %w", drivers.ErrUnsupported)
	}
	for what, broken := range (simulated{}).Broken() {
		if d.Spec.Binary == broken {
			return l, fmt.Errorf("run %s: it is %s: %w", broken, what, drivers.ErrPermanent)
		}
	}
	if path.Base(d.Spec.WorkingDir) == "missing" {
		return l, fmt.Errorf("enter %s: there is no such directory: %w", d.Spec.WorkingDir, drivers.ErrPermanent)
	}
	if strings.HasPrefix(d.Spec.User, "no-such") {
		return l, fmt.Errorf("find user %s: there is none: %w", d.Spec.User, drivers.ErrPermanent)
	}
	return l, nil
}

// behaviour is what the test asked of the daemon, or what its program does.
func (w *world) behaviour(want *spec.Daemon) (Behaviour, error) {
	if b, ok := w.behaviours[want.Name]; ok {
		return b, nil
	}
	if want.Spec.Binary != simulatedProgram && !slices.Contains(w.names, want.Spec.Binary) {
		return Behaviour{}, nil
	}
	o, err := testprog.Parse(want.Spec.Args)
	return simulate(o), err
}
