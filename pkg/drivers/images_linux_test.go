package drivers_test

import (
	"crypto/rand"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"reconciler.dev/reconciler/internal/binstore"
	"reconciler.dev/reconciler/pkg/spec"
)

// TestTheRunningImage is compared by what it is, and not by where it lies or when it was written.
func TestTheRunningImage(t *testing.T) {
	linked := func(which int) func(path string) error {
		return func(path string) error {
			to := filepath.Join(filepath.Dir(path), rand.Text())
			return errors.Join(os.WriteFile(to, sleeper(t, which), 0o755), turn(path, to))
		}
	}
	replace := func(path string, program []byte) error {
		return errors.Join(os.WriteFile(path+".new", program, 0o755), os.Rename(path+".new", path))
	}
	for name, c := range map[string]struct {
		binary func(path string) error
		args   []string
		then   func(path string) error
		want   []string
		lost   string
	}{
		"nothing happened":          {},
		"another one was put there": {then: func(path string) error { return replace(path, sleeper(t, 2)) }, want: []string{"spec.binary restart"}},
		"the same was put there":    {then: func(path string) error { return replace(path, sleeper(t, 1)) }},
		"another one of the same age and size": {then: func(path string) error {
			info, err := os.Stat(path)
			return errors.Join(err, replace(path, sleeper(t, 2)), os.Chtimes(path, info.ModTime(), info.ModTime()))
		}, want: []string{"spec.binary restart"}},
		"it was touched":                {then: func(path string) error { return os.Chmod(path, 0o700) }},
		"it is gone":                    {then: os.Remove},
		"half of another one":           {then: func(path string) error { return replace(path, sleeper(t, 2)[:9000]) }, lost: "cut short"},
		"a folder stands there":         {then: func(path string) error { return errors.Join(os.Remove(path), os.Mkdir(path, 0o755)) }},
		"another script":                {binary: func(path string) error { return os.WriteFile(path, []byte("#!/bin/sh\nsleep 60\n"), 0o755) }, then: func(path string) error { return replace(path, []byte("#!/bin/sh\n")) }},
		"it became another program":     {binary: func(path string) error { return os.WriteFile(path, []byte("#!/bin/sh\nexec sleep 60\n"), 0o755) }, then: func(path string) error { return replace(path, sleeper(t, 2)) }},
		"by a link, the same all along": {binary: func(path string) error { return os.Symlink("/bin/sleep", path) }},
		"by a link that is turned":      {binary: linked(1), then: linked(2), want: []string{"spec.binary restart"}},
		"by a link to the same":         {binary: linked(1), then: linked(1)},
		"by a link to a script": {binary: linked(1), then: func(path string) error {
			return errors.Join(os.WriteFile(path+".s", []byte("#!/bin/sh\n"), 0o755), turn(path, path+".s"))
		}},
	} {
		t.Run(name, func(t *testing.T) {
			s := newWorkshop(t)
			path := s.path("worker")
			if c.binary == nil {
				c.binary = func(path string) error { return os.WriteFile(path, sleeper(t, 1), 0o755) }
			}
			if err := c.binary(path); err != nil {
				t.Fatal(err)
			}
			d := s.daemon("web")
			d.Spec.Binary = path
			s.must(spec.VerbStart, d)
			s.runs("web", path, "60")
			if c.then != nil {
				if err := c.then(path); err != nil {
					t.Fatal(err)
				}
			}
			s.drifts(c.want...)
			lost := s.observe("web").Lost
			if c.lost == "" && len(lost) > 0 || c.lost != "" && (len(lost) != 1 || !strings.Contains(lost[0].Reason, c.lost)) {
				t.Errorf("lost is %+v, want %q", lost, c.lost)
			}
		})
	}
}

// TestARunningImageThatIsntTheInstalledOne is told whatever became of the file that it was started from.
func TestARunningImageThatIsntTheInstalledOne(t *testing.T) {
	for name, c := range map[string]struct {
		then func(s *workshop, to string) error
		want []string
	}{
		"it is the installed one": {},
		"another one was put there and started": {func(s *workshop, to string) error {
			if err := errors.Join(os.Remove(to), os.WriteFile(to, sleeper(s.t, 9), 0o755)); err != nil {
				return err
			}
			s.runs("web", to, "60")
			return nil
		}, []string{"spec.install.to live", "spec.install.digest restart"}},
		"the one before runs on": {func(s *workshop, to string) error {
			next := s.wants(s.put(sleeper(s.t, 2)), to)
			s.must(spec.VerbInstall, next)
			s.must(spec.VerbStamp, next)
			return nil
		}, []string{"spec.install.digest restart"}},
		"the one before runs on, under another name": {func(s *workshop, to string) error {
			if err := os.Rename(to, to+".old"); err != nil {
				return err
			}
			next := s.wants(s.put(sleeper(s.t, 2)), to)
			s.must(spec.VerbInstall, next)
			s.must(spec.VerbStamp, next)
			return nil
		}, []string{"spec.install.digest restart"}},
		"it became another program": {func(s *workshop, _ string) error { s.runs("web", "/bin/sleep", "60"); return nil }, nil},
	} {
		t.Run(name, func(t *testing.T) {
			s := newWorkshop(t)
			to := s.path("worker")
			d := s.wants(s.put(sleeper(t, 1)), to)
			s.must(spec.VerbInstall, d)
			s.must(spec.VerbStart, d)
			s.runs("web", to, "60")
			if c.then != nil {
				if err := c.then(s, to); err != nil {
					t.Fatal(err)
				}
			}
			s.drifts(c.want...)
		})
	}
}

// TestALookAtAnInstalledProgramReadsNothing that was placed: another process that looks knows it by its identity.
func TestALookAtAnInstalledProgramReadsNothing(t *testing.T) {
	s := newWorkshop(t)
	to := s.path("worker")
	d := s.wants(s.put(sleeper(t, 1)), to)
	s.must(spec.VerbInstall, d)
	s.must(spec.VerbStart, d)
	r, err := s.store.Record("web")
	if err != nil {
		t.Fatal(err)
	}
	info, err := os.Stat(to)
	if err != nil {
		t.Fatal(err)
	}
	if id, _ := binstore.IdentityOf(info); len(r.Seen) != 1 || r.Seen[0].Identity != id {
		t.Errorf("what was placed is remembered as %+v, and is %+v", r.Seen, id)
	}
}
