package drivers_test

import (
	"bytes"
	"context"
	"errors"
	"os"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"reconciler.dev/reconciler/pkg/spec"
)

// told collects what a watch of the workshop tells.
type told struct {
	s     *workshop
	mu    sync.Mutex
	names []string
}

func (s *workshop) watched() *told {
	s.t.Helper()
	w := &told{s: s}
	ctx, cancel := context.WithCancel(context.Background())
	ended := make(chan error)
	go func() { ended <- s.Driver.Watch(ctx, w.add) }()
	s.t.Cleanup(func() {
		cancel()
		if err := <-ended; !errors.Is(err, context.Canceled) {
			s.t.Errorf("the watch ended: %v", err)
		}
	})
	return w
}

func (w *told) add(name string) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.names = append(w.names, name)
}

// since returns what was told since the last call, each name once.
func (w *told) since() []string {
	w.mu.Lock()
	defer w.mu.Unlock()
	names := slices.Compact(slices.Sorted(slices.Values(w.names)))
	w.names = nil
	return names
}

// until does something again and again until all of names are told, and nothing but those.
func (w *told) until(do func(), names ...string) {
	w.s.t.Helper()
	var heard []string
	for deadline := time.Now().Add(time.Minute); !slices.Equal(heard, names); heard = slices.Compact(slices.Sorted(slices.Values(append(heard, w.since()...)))) {
		do()
		<-time.After(50 * time.Millisecond)
		if time.Now().After(deadline) {
			w.s.t.Fatalf("%q are told of, want %q", heard, names)
		}
	}
}

// place puts a program where daemons shall run it, at once.
func (s *workshop) place(path string, program []byte) {
	s.t.Helper()
	if err := errors.Join(os.WriteFile(path+".new", program, 0o755), os.Rename(path+".new", path)); err != nil {
		s.t.Fatal(err)
	}
}

// lives starts a daemon that runs the program at path.
func (s *workshop) lives(name, path string) {
	s.t.Helper()
	d := s.daemon(name)
	d.Spec.Binary = path
	s.must(spec.VerbStart, d)
	s.runs(name, path, "60")
}

// TestAReplacedProgramIsTold of the daemons that run it, and of no other.
func TestAReplacedProgramIsTold(t *testing.T) {
	s := newWorkshop(t)
	one, other := s.path("one"), s.path("other")
	for _, path := range []string{one, other} {
		s.place(path, sleeper(t, 1))
	}
	s.lives("api", one)
	s.lives("db", other)
	s.lives("web", one)
	w := s.watched()
	w.until(func() {}, "") // it is armed
	n := byte(1)
	w.until(func() { n++; s.place(one, sleeper(t, int(n))) }, "api", "web")
	s.drifts("spec.binary restart")
	w.since()
	s.place(other, sleeper(t, 2))
	w.until(func() {}, "db")
}

// TestAProgramThatWasReplacedBeforeTheWatchIsTold where its daemon runs the one before it.
func TestAProgramThatWasReplacedBeforeTheWatchIsTold(t *testing.T) {
	s := newWorkshop(t)
	path := s.path("worker")
	s.place(path, sleeper(t, 1))
	s.lives("web", path)
	s.place(path, sleeper(t, 2))
	s.watched().until(func() {}, "", "web")
}

// TestAProgramThatIsWrittenIsntToldBeforeItIsWhole, however long that takes.
func TestAProgramThatIsWrittenIsntToldBeforeItIsWhole(t *testing.T) {
	s := newWorkshop(t)
	path := s.path("worker")
	s.place(path, sleeper(t, 1))
	s.lives("web", path)
	w := s.watched()
	w.until(func() {}, "")
	w.until(func() { s.place(path+".x", nil); s.place(path, sleeper(t, 1)) }, "web") // it is watched
	if err := os.Remove(path); err != nil {
		t.Fatal(err)
	}
	w.until(func() {}, "web")
	f, err := os.OpenFile(path, os.O_CREATE|os.O_WRONLY, 0o755)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	for part := range slices.Chunk(sleeper(t, 2), 2000) {
		if _, err := f.Write(part); err != nil {
			t.Fatal(err)
		}
		<-time.After(50 * time.Millisecond)
		if names := w.since(); names != nil {
			t.Errorf("%q are told of while it is written", names)
		}
		s.drifts()
	}
	if err := f.Close(); err != nil {
		t.Fatal(err)
	}
	w.until(func() {}, "web")
	s.drifts("spec.binary restart")
}

// TestAProgramThatCanBeExecutedOnlyLaterIsToldThen.
func TestAProgramThatCanBeExecutedOnlyLaterIsToldThen(t *testing.T) {
	s := newWorkshop(t)
	path := s.path("worker")
	s.place(path, sleeper(t, 1))
	s.lives("web", path)
	w := s.watched()
	w.until(func() {}, "")
	w.until(func() {
		if err := errors.Join(os.WriteFile(path+".new", sleeper(t, 2), 0o644), os.Rename(path+".new", path)); err != nil {
			t.Fatal(err)
		}
	}, "web")
	s.drifts()
	w.since()
	if err := os.Chmod(path, 0o755); err != nil {
		t.Fatal(err)
	}
	w.until(func() {}, "web")
	s.drifts("spec.binary restart")
}

// TestManyDaemonsOfOneProgramAreOneWatch of the kernel's, beside that of what users pause.
func TestManyDaemonsOfOneProgramAreOneWatch(t *testing.T) {
	s := newWorkshop(t)
	path := s.path("worker")
	s.place(path, sleeper(t, 1))
	before := inotifies(t)
	for i := range 20 {
		d := s.daemon("web-" + strings.Repeat("x", i+1))
		d.Spec.Binary = path
		s.must(spec.VerbStart, d)
	}
	w := s.watched()
	w.until(func() {}, "")
	w.until(func() { s.place(path, sleeper(t, 2)) }, s.names()...)
	after := inotifies(t)
	if len(after)-len(before) != 1 {
		t.Errorf("there are %d inotify instances more", len(after)-len(before))
	}
	for _, watches := range after[len(before):] {
		if watches != 2 {
			t.Errorf("it watches %d folders, want the one of the program and the one of the books", watches)
		}
	}
}

// inotifies lists how many watches each inotify instance of this process has; a later one comes later. See proc_pid_fdinfo(5).
func inotifies(t *testing.T) (watches []int) {
	t.Helper()
	fds, err := os.ReadDir("/proc/self/fdinfo")
	if err != nil {
		t.Fatal(err)
	}
	for _, fd := range fds {
		link, err := os.Readlink("/proc/self/fd/" + fd.Name())
		if err != nil || link != "anon_inode:inotify" {
			continue
		}
		info, err := os.ReadFile("/proc/self/fdinfo/" + fd.Name())
		if err != nil {
			t.Fatal(err)
		}
		watches = append(watches, bytes.Count(info, []byte("inotify wd:")))
	}
	return watches
}

// names lists the daemons.
func (s *workshop) names() []string {
	s.t.Helper()
	names, err := s.Driver.List(s.t.Context())
	if err != nil {
		s.t.Fatal(err)
	}
	slices.Sort(names)
	return names
}
