//go:build unix

package drivers_test

import (
	"context"
	"io/fs"
	"os"
	"path/filepath"
	"testing"

	"reconciler.dev/reconciler/internal/layout"
	"reconciler.dev/reconciler/pkg/drivers"
	"reconciler.dev/reconciler/pkg/drivers/driverstest"
	"reconciler.dev/reconciler/pkg/spec"
)

// mixed is a machine whose processes are simulated and whose files are real.
type mixed struct{ driverstest.Machine }

func (mixed) Dir(t *testing.T) string { return t.TempDir() }

func (m mixed) Read(path string) (driverstest.File, error) {
	if f, err := m.Machine.Read(path); err == nil {
		return f, nil
	}
	content, err := os.ReadFile(path)
	if err != nil {
		return driverstest.File{}, err
	}
	info, err := os.Stat(path)
	if err != nil {
		return driverstest.File{}, err
	}
	return driverstest.File{Content: content, Mode: spec.Mode(info.Mode().Perm())}, nil
}

func (mixed) Write(path string, f driverstest.File) error {
	if err := os.WriteFile(path, f.Content, 0o600); err != nil {
		return err
	}
	return os.Chmod(path, fs.FileMode(f.Mode))
}

func (mixed) Remove(path string) error { return os.Remove(path) }

func newDirs(t *testing.T) layout.Dirs {
	t.Helper()
	dirs := layout.Under(t.TempDir())
	if err := dirs.Make(); err != nil {
		t.Fatal(err)
	}
	return dirs
}

// TestDecoratedDriversConform proves the decorators on a driver that has neither files nor pauses of its own.
func TestDecoratedDriversConform(t *testing.T) {
	driverstest.Run(t, func(t *testing.T) driverstest.Subject {
		dirs := newDirs(t)
		f := driverstest.NewFake().Plain()
		s := f.Subject()
		s.Driver, s.Single = drivers.Decorate(f, dirs), false
		s.Reopen = func() drivers.Driver { return drivers.Decorate(f.Reopen(), dirs) }
		s.Machine, s.Dirs = mixed{s.Machine}, []string{dirs.State, dirs.Run, dirs.Log}
		return s
	})
}

// keeper is a driver with an optional interface.
type keeper struct{ drivers.Driver }

func (keeper) Housekeep(context.Context) (bool, error) { return true, nil }

func TestFindLooksThroughDecorators(t *testing.T) {
	dirs := newDirs(t)
	plain := drivers.Decorate(driverstest.NewFake(), dirs)
	if _, ok := drivers.Find[interface{ Nothing() }](plain); ok {
		t.Error("found an interface that nothing has")
	}
	h, ok := drivers.Find[drivers.Housekeeper](drivers.Decorate(keeper{driverstest.NewFake()}, dirs))
	if busy, err := h.Housekeep(t.Context()); !ok || !busy || err != nil {
		t.Error("the driver's own interface wasn't found")
	}
	if _, ok := drivers.Find[drivers.Checker](plain); !ok {
		t.Error("the fake is a Checker, and wasn't found")
	}
	if _, ok := drivers.Find[drivers.Checker](nil); ok {
		t.Error("found something in nothing")
	}
}

// fixture is a decorated fake with one daemon that has config files.
type fixture struct {
	t    *testing.T
	dirs layout.Dirs
	fake *driverstest.Fake
	drivers.Driver
	etc string
}

func newFixture(t *testing.T) *fixture {
	t.Helper()
	f := &fixture{t: t, dirs: newDirs(t), fake: driverstest.NewFake().Plain(), etc: t.TempDir()}
	f.Driver = drivers.Decorate(f.fake, f.dirs)
	return f
}

// daemon declares a daemon with files, each a path and its content.
func (f *fixture) daemon(name string, files ...string) *spec.Daemon {
	d := &spec.Daemon{Metadata: spec.Metadata{Name: name}, Digest: "sha256:" + name, Contents: map[string][]byte{}}
	for i := 0; i < len(files); i += 2 {
		digest := driverstest.ContentDigest([]byte(files[i+1]))
		d.Spec.Files = append(d.Spec.Files, spec.File{Path: files[i], Digest: digest})
		d.Contents[digest] = []byte(files[i+1])
	}
	return d
}

func (f *fixture) step(verb spec.Verb, d *spec.Daemon) spec.Step {
	f.t.Helper()
	s := spec.Step{Verb: verb, Name: d.Name, Want: d, Generation: 1, By: "test", Stop: spec.Stop{GracePeriod: 1}}
	if i := f.observe(d.Name).Instance; i != nil {
		s.Instance = i.ID
	}
	return s
}

func (f *fixture) must(verb spec.Verb, d *spec.Daemon) {
	f.t.Helper()
	if err := f.Apply(f.t.Context(), f.step(verb, d)); err != nil {
		f.t.Fatal(err)
	}
}

func (f *fixture) observe(name string) spec.Observed {
	f.t.Helper()
	found, err := f.Observe(f.t.Context(), name)
	if err != nil {
		f.t.Fatal(err)
	}
	return found[0]
}

func (f *fixture) path(name string) string { return filepath.Join(f.etc, name) }

func (f *fixture) write(path, content string) {
	f.t.Helper()
	if err := os.WriteFile(path, []byte(content), 0o644); err != nil {
		f.t.Fatal(err)
	}
}

func (f *fixture) holds(path, content string) {
	f.t.Helper()
	if got, err := os.ReadFile(path); err != nil || string(got) != content {
		f.t.Errorf("%s holds %q (%v), want %q", path, got, err, content)
	}
}
