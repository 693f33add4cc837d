package process

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"reconciler.dev/reconciler/internal/procfs"
	"reconciler.dev/reconciler/pkg/drivers"
	"reconciler.dev/reconciler/pkg/spec"
)

// TestAClockThatIsSetChangesNoInterval: times of day are for people; how long something took is known by a clock that nobody sets.
func TestAClockThatIsSetChangesNoInterval(t *testing.T) {
	for name, jump := range map[string]time.Duration{"as it is": 0, "set forward": 1000 * time.Hour, "set back": -1000 * time.Hour} {
		t.Run(name, func(t *testing.T) {
			now := procfs.SinceBoot()
			started := now - 10*time.Second
			i := &spec.Instance{
				PID: 42, StartTicks: uint64(started / (time.Second / procfs.Ticks)), BootID: "this", StartedAt: time.Now().Add(jump),
			}
			near := func(what string, got, want time.Duration) {
				t.Helper()
				if got < want-50*time.Millisecond || got > want+5*time.Second {
					t.Errorf("%s is %s, want %s", what, got, want)
				}
			}
			near("up", timed(i, 0, "this").Up, 10*time.Second)
			i.Exit = &spec.Exit{At: time.Now().Add(jump)}
			ended := timed(i, now-3*time.Second, "this")
			near("since the end", ended.Exit.Since, 3*time.Second)
			near("up in the end", ended.Up, 7*time.Second)
		})
	}
}

// program writes a script as an executable file, in the way that installers do: beside, and renamed over what was there.
func program(t *testing.T, path, script string) {
	t.Helper()
	if err := os.WriteFile(path+".new", []byte("#!/bin/sh\n"+script+"\n"), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.Rename(path+".new", path); err != nil {
		t.Fatal(err)
	}
}

// TestAProgramIsReplacedWhileItRuns: what runs goes on, and the next start takes the new one.
func TestAProgramIsReplacedWhileItRuns(t *testing.T) {
	r := newRig(t)
	path := filepath.Join(t.TempDir(), "web")
	program(t, path, "echo old; exec sleep 1000")
	d := want("web", path)
	first := r.Start(d).Instance
	r.Says("web", "old")
	program(t, path, "echo new; exec sleep 1000")
	if o := r.Look("web"); o.State != spec.Running || o.Instance.ID != first.ID {
		t.Errorf("after the exchange it is %s, instance %+v", o.State, o.Instance)
	}
	r.Do(spec.VerbStop, d)
	r.Do(spec.VerbStart, d)
	r.Says("web", "new")
}

// TestAProgramThatIsBeingWrittenMayBeStartedLater: half a program is never executed, and it needs nobody to say that it is whole.
func TestAProgramThatIsBeingWrittenMayBeStartedLater(t *testing.T) {
	r := newRig(t)
	path := filepath.Join(t.TempDir(), "web")
	whole, err := os.ReadFile("/bin/sleep")
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(path, whole, 0o755); err != nil {
		t.Fatal(err)
	}
	writer, err := os.OpenFile(path, os.O_WRONLY, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer writer.Close()
	d := want("web", path, "1000")
	err = r.Apply(t.Context(), r.Step(spec.VerbStart, d))
	if err == nil || errors.Is(err, drivers.ErrPermanent) || !strings.Contains(err.Error(), "somebody is still writing it") {
		t.Errorf("while it is written: %v", err)
	}
	writer.Close()
	r.Start(d)
}
