package local

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"os"
	"os/exec"
	"strings"
	"testing"
	"time"

	"reconciler.dev/reconciler/internal/layout"
	"reconciler.dev/reconciler/pkg/drivers"
)

// holdEnv names the directories in which this test program takes a set's lock, says so, and waits to be killed.
const holdEnv = "LOCAL_TEST_HOLD"

func TestMain(m *testing.M) {
	if root := os.Getenv(holdEnv); root != "" {
		hold(root)
	}
	os.Exit(m.Run())
}

func hold(root string) {
	holder := drivers.Holder{ID: "h1", PID: os.Getpid(), Command: "reconciler run -f /etc/d", Since: noon}
	if _, err := New(layout.Under(root)).Lock(context.Background(), "team a/b", holder); err != nil {
		os.Exit(3)
	}
	os.Stdout.WriteString("held\n")
	time.Sleep(time.Minute)
	os.Exit(4)
}

// otherProcess holds the set "team a/b" below root until the returned function kills it.
func otherProcess(t *testing.T, root string) (kill func()) {
	t.Helper()
	c := exec.CommandContext(t.Context(), os.Args[0])
	c.Env = append(os.Environ(), holdEnv+"="+root)
	out, err := c.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := c.Start(); err != nil {
		t.Fatal(err)
	}
	if line, err := bufio.NewReader(out).ReadString('\n'); line != "held\n" {
		t.Fatalf("the other process said %q, %v", line, err)
	}
	return func() {
		if err := c.Process.Kill(); err != nil {
			t.Fatal(err)
		}
		if err := c.Wait(); err == nil {
			t.Fatal("the other process ended by itself")
		}
	}
}

func holders(t *testing.T, h *Host) []drivers.Holder {
	t.Helper()
	all, err := h.Holders(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	return all
}

func TestASetHasOneHolder(t *testing.T) {
	h := newHost(t)
	me := drivers.Holder{ID: "h1", PID: 1, Command: "reconciler run", Since: noon}
	if all := holders(t, h); len(all) != 0 {
		t.Errorf("before any: %v", all)
	}
	release, err := h.Lock(t.Context(), "a", me)
	if err != nil {
		t.Fatal(err)
	}
	other := New(h.dirs)
	if _, err := other.Lock(t.Context(), "a", me); !errors.Is(err, drivers.ErrConflict) {
		t.Errorf("got %v, want ErrConflict", err)
	}
	if all := holders(t, other); len(all) != 1 || all[0].Set != "a" || all[0].ID != "h1" {
		t.Errorf("holders are %+v", all)
	}
	again, err := other.Lock(t.Context(), "b", me)
	if err != nil {
		t.Fatalf("another set is held by nobody: %v", err)
	}
	again()
	release()
	release()
	if all := holders(t, h); len(all) != 0 {
		t.Errorf("after the release: %v", all)
	}
	if _, err := other.Lock(t.Context(), "a", me); err != nil {
		t.Errorf("after the release: %v", err)
	}
	if err := other.Close(); err != nil {
		t.Fatal(err)
	}
	if _, err := h.Lock(t.Context(), "a", me); err != nil {
		t.Errorf("after the other host was closed: %v", err)
	}
}

func TestARefusalNamesTheHolder(t *testing.T) {
	root := t.TempDir()
	kill := otherProcess(t, root)
	h := New(layout.Under(root))
	_, err := h.Lock(t.Context(), "team a/b", drivers.Holder{ID: "h2"})
	if !errors.Is(err, drivers.ErrConflict) {
		t.Fatalf("got %v, want ErrConflict", err)
	}
	all := holders(t, h)
	if len(all) != 1 || all[0].Set != "team a/b" || all[0].Command != "reconciler run -f /etc/d" {
		t.Fatalf("holders are %+v", all)
	}
	pid, _ := json.Marshal(all[0].PID)
	for _, want := range []string{"team a/b", "reconciler run -f /etc/d", string(pid), "2026-11-23 12:00"} {
		if !strings.Contains(err.Error(), want) {
			t.Errorf("the refusal doesn't tell of %s: %v", want, err)
		}
	}
	kill()
	if all := holders(t, h); len(all) != 0 {
		t.Errorf("the dead still holds: %+v", all)
	}
	if _, err := h.Lock(t.Context(), "team a/b", drivers.Holder{ID: "h2"}); err != nil {
		t.Errorf("the lock of the dead is stale: %v", err)
	}
}

// TestALockThatOutlivesItsHolderForAnInstant is what a run leaves that is killed between a fork and the exec of what it forked.
func TestALockThatOutlivesItsHolderForAnInstant(t *testing.T) {
	h := newHost(t)
	dead := exec.CommandContext(t.Context(), os.Args[0], "-test.run=^$")
	if err := dead.Run(); err != nil {
		t.Fatal(err)
	}
	release, err := New(h.dirs).Lock(t.Context(), "a", drivers.Holder{ID: "h1", PID: dead.Process.Pid})
	if err != nil {
		t.Fatal(err)
	}
	time.AfterFunc(300*time.Millisecond, release)
	if _, err := h.Lock(t.Context(), "a", drivers.Holder{ID: "h2"}); err != nil {
		t.Errorf("the holder is dead, and what has its lock lets go of it: %v", err)
	}
}

func TestWhatAHolderCallsItselfReachesNoTerminalRaw(t *testing.T) {
	h := newHost(t)
	evil := drivers.Holder{ID: "h1", Command: "run \x1b[2J\n"}
	if _, err := h.Lock(t.Context(), "a", evil); err != nil {
		t.Fatal(err)
	}
	if _, err := h.Lock(t.Context(), "a", evil); err == nil || strings.ContainsAny(err.Error(), "\x1b\n") {
		t.Errorf("got %q", err)
	}
}
