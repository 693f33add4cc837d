package spawn

import (
	"bytes"
	"context"
	"errors"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"reconciler.dev/reconciler/internal/procfs"
)

// tagged is a script with a tag of its own.
func tagged(text string) Cmd {
	c := script(text)
	c.Tag = NewTag()
	return c
}

func TestFollow(t *testing.T) {
	s := newSpawner(t)
	for _, tt := range []struct{ name, text, printed, err string }{
		{"both streams, in order", "echo one; echo two >&2; echo three", "one\ntwo\nthree\n", ""},
		{"a last line without an end", "printf x", "x", ""},
		{"more than a pipe holds", "yes 0123456 | head -n 40000", strings.Repeat("0123456\n", 40000), ""},
		{"what it said before it failed", "echo why; exit 3", "why\n", "exited with status 3"},
		{"a signal", "kill -SEGV $$", "", "ended by SIGSEGV"},
		{"somebody outlives it and holds the output", "echo one; setsid sleep 20 & echo two", "one\ntwo\n", ""},
	} {
		t.Run(tt.name, func(t *testing.T) {
			var out bytes.Buffer
			c := tagged(tt.text)
			t.Cleanup(func() { KillTree(context.Background(), c.Tag) })
			err := s.Follow(t.Context(), c, &out)
			if (err == nil) != (tt.err == "") || err != nil && !strings.Contains(err.Error(), tt.err) {
				t.Errorf("error %v, want %q", err, tt.err)
			}
			if out.String() != tt.printed {
				t.Errorf("printed %.80q (%d bytes), want %.80q (%d)", out.String(), out.Len(), tt.printed, len(tt.printed))
			}
		})
	}
}

// TestFollowEndsTheWholeTree with its context: those who left the group and the session, too.
func TestFollowEndsTheWholeTree(t *testing.T) {
	s := newSpawner(t)
	why := errors.New("a newer one")
	ctx, cancel := context.WithCancelCause(t.Context())
	pids := filepath.Join(t.TempDir(), "pids")
	c := tagged(`setsid sh -c 'echo $$ >>` + pids + `; (sleep 60; true) & exec sleep 60' & sleep 60 & echo $! >>` + pids + `; echo ready; wait`)
	err := s.Follow(ctx, c, writerFunc(func(p []byte) (int, error) {
		for len(lines(t, pids)) < 2 {
			time.Sleep(time.Millisecond)
		}
		cancel(why)
		return len(p), nil
	}))
	if !errors.Is(err, why) {
		t.Errorf("error %v, want the cause of the cancel", err)
	}
	var scans procfs.Scanner
	left, _, err := scans.Members(procfs.Tag(c.Tag))
	if err != nil {
		t.Fatal(err)
	}
	for _, pid := range lines(t, pids) {
		n, _ := strconv.Atoi(pid)
		left = append(left, n)
	}
	for _, pid := range left {
		if st, err := procfs.ReadStat(pid); err == nil && !st.Dead() {
			t.Errorf("process %d lives on", pid)
		}
	}
}

// TestFollowEndsWhereNobodyListens, instead of building for nobody.
func TestFollowEndsWhereNobodyListens(t *testing.T) {
	s := newSpawner(t)
	full := errors.New("full")
	err := s.Follow(t.Context(), tagged("echo x; exec sleep 60"), writerFunc(func([]byte) (int, error) { return 0, full }))
	if !errors.Is(err, full) {
		t.Errorf("error %v, want that of the writer", err)
	}
}

type writerFunc func([]byte) (int, error)

func (f writerFunc) Write(p []byte) (int, error) { return f(p) }

func lines(t *testing.T, path string) []string {
	b, err := os.ReadFile(path)
	if err != nil && !os.IsNotExist(err) {
		t.Fatal(err)
	}
	return strings.Fields(string(b))
}
