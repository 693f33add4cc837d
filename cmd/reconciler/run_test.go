package main

import (
	"bytes"
	"context"
	"os"
	"strings"
	"sync"
	"testing"
	"time"

	"reconciler.dev/reconciler/pkg/drivers"
	"reconciler.dev/reconciler/pkg/spec"
)

// screen is what a person reads while a command is running.
type screen struct {
	mu  sync.Mutex
	buf bytes.Buffer
}

func (s *screen) Write(p []byte) (int, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.buf.Write(p)
}

func (s *screen) String() string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.buf.String()
}

// shows waits until the screen shows text, times times.
func (s *screen) shows(t *testing.T, text string, times int) {
	t.Helper()
	for end := time.Now().Add(20 * time.Second); time.Now().Before(end); time.Sleep(5 * time.Millisecond) {
		if strings.Count(s.String(), text) >= times {
			return
		}
	}
	t.Fatalf("the screen never shows %q %d times:\n%s", text, times, s)
}

// start types a command that goes on, and returns what it shows and how it is ended with ^C.
func (d *desk) start(args ...string) (out, err *screen, interrupt func() int) {
	ctx, cancel := context.WithCancelCause(context.Background())
	out, err = new(screen), new(screen)
	code := make(chan int, 1)
	go func() { code <- d.cli(out, err).main(ctx, args) }()
	interrupt = sync.OnceValue(func() int { cancel(interrupted{os.Interrupt}); return <-code })
	d.t.Cleanup(func() { interrupt() })
	return out, err, interrupt
}

// TestRun follows a run through a death, an edit, a broken manifest and ^C.
func TestRun(t *testing.T) {
	d := newDesk(t)
	out, errOut, interrupt := d.start("run", "-f", ".", "--prune")
	out.shows(t, "daemon/web: created", 1)
	out.shows(t, "daemon/db: created", 1)

	d.host.Fake().Crash("db", spec.Exit{Known: true, Signal: "SIGKILL"})
	out.shows(t, "daemon/db: healed: it was killed by SIGKILL", 1)

	d.edit("web.yaml", "hello", "good day")
	out.shows(t, "daemon/web: configured: the manifest changed: spec.env[GREETING]", 1)

	d.edit("web.yaml", "binary:", "binry:")
	out.shows(t, "manifests: keep the last good set", 1)
	out.shows(t, "binry", 1)
	d.edit("web.yaml", "binry:", "binary:")
	out.shows(t, "manifests: they load again", 1)

	if code, _, stderr := d.run("apply", "-f", "db.yaml"); code != exitConflict || !strings.Contains(stderr, "pid") {
		t.Errorf("an apply to what a run keeps: exit %d, %s", code, stderr)
	}
	if code, _, stderr := d.run("run", "-f", "."); code != exitConflict || !strings.Contains(stderr, "pid") {
		t.Errorf("a second run of the same set: exit %d, %s", code, stderr)
	}

	if stdout, _ := d.must(exitOK, "describe", "web"); !strings.Contains(stdout, "Kept by:") || !strings.Contains(stdout, "(pid ") {
		t.Errorf("describe doesn't say who keeps web:\n%s", stdout)
	}
	if code := interrupt(); code != exitOK {
		t.Errorf("a run that is interrupted: exit %d\n%s", code, errOut)
	}
	errOut.shows(t, "Ended. 2 daemons of set default left running", 1)
	if alive := d.host.Fake().Alive("web"); alive != 1 {
		t.Errorf("%d processes of web are alive after the run", alive)
	}
}

// TestGetWatch prints a line for each change, and nothing where nothing changes.
func TestGetWatch(t *testing.T) {
	d := newDesk(t)
	d.must(exitOK, "apply", "-f", ".", "--wait")
	out, _, interrupt := d.start("get", "-w")
	out.shows(t, "Running", 2)
	d.must(exitOK, "stop", "db")
	out.shows(t, "db     False   Stopped", 1)
	d.must(exitOK, "delete", "db")
	out.shows(t, "db     Unknown   Absent", 1)
	if code := interrupt(); code != exitOK {
		t.Errorf("exit %d", code)
	}
	if n := strings.Count(out.String(), "\nweb "); n != 1 {
		t.Errorf("web didn't change and is shown %d times:\n%s", n, out)
	}
}

func TestEventsWatch(t *testing.T) {
	d := newDesk(t)
	out, _, interrupt := d.start("events", "-w", "--for=db")
	d.must(exitOK, "apply", "-f", ".")
	out.shows(t, "daemon/db", 1)
	if code := interrupt(); code != exitOK || strings.Contains(out.String(), "daemon/web") {
		t.Errorf("exit %d, and it shows:\n%s", code, out)
	}
}

func TestRunSaysWhyItsDriverIsNotABetterOne(t *testing.T) {
	d := newDesk(t)
	d.host.Lacks(&drivers.Unavailable{Kind: spec.DriverSystemd, Reason: "systemd isn't running", Remedy: "boot it"})
	out, _, interrupt := d.start("run", "-f", ".")
	out.shows(t, "fallback: running under process, not systemd: systemd isn't running; to mend it: boot it", 1)
	out.shows(t, "daemon/web: created", 1)
	if code := interrupt(); code != exitOK {
		t.Errorf("exit %d", code)
	}
}

func TestAftercare(t *testing.T) {
	for _, c := range []struct {
		running, alone int
		want           string
	}{
		{0, 0, "nothing restarts them"}, {2, 2, "nothing restarts them"}, {2, 0, "systemd restarts them"}, {3, 1, "but for 1 that nothing restarts"},
	} {
		if got := aftercare(c.running, c.alone); !strings.Contains(got, c.want) {
			t.Errorf("%d running, %d alone: %q", c.running, c.alone, got)
		}
	}
}
