package process

import (
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"reconciler.dev/reconciler/internal/logfile"
	"reconciler.dev/reconciler/pkg/spec"
)

// stream is all that is left of what was written to a log.
func stream(t *testing.T, path string) string {
	t.Helper()
	r, err := logfile.Open(path)
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	text, err := io.ReadAll(r)
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}

// TestHousekeepRotatesUnderADaemonThatWrites: the shell writes each line with a write of its own, as fast as it can, and rests now and then, so that even a
// busy machine gets to rotate.
func TestHousekeepRotatesUnderADaemonThatWrites(t *testing.T) {
	const lines = 20_000
	r := newRig(t)
	d := shell("web", fmt.Sprintf("i=0; while [ $i -lt %d ]; do echo line $i; i=$((i+1)); [ $((i%%2000)) -ne 0 ] || sleep 0.05; done; exec sleep 1000", lines))
	d.Spec.Log = spec.Log{Path: filepath.Join(t.TempDir(), "web.log"), MaxSize: 16 << 10, MaxFiles: 1000}
	if err := r.Apply(t.Context(), r.Step(spec.VerbStart, d)); err != nil {
		t.Fatal(err)
	}
	before := r.Look("web").Instance
	last := fmt.Sprintf("line %d\n", lines-1)
	r.Until("web", func(spec.Observed) bool {
		if _, err := r.Housekeep(t.Context()); err != nil {
			t.Fatal(err)
		}
		text, err := os.ReadFile(d.Spec.Log.Path)
		return err == nil && strings.HasSuffix(string(text), last)
	})
	var want strings.Builder
	for i := range lines {
		fmt.Fprintf(&want, "line %d\n", i)
	}
	if got := stream(t, d.Spec.Log.Path); got != want.String() {
		t.Errorf("the log has %d bytes, and the daemon wrote %d", len(got), want.Len())
	}
	if _, err := os.Stat(d.Spec.Log.Path + ".3"); err != nil {
		t.Errorf("it was hardly rotated: %v", err)
	}
	if o := r.Look("web"); o.State != spec.Running || o.Instance.ID != before.ID || o.Instance.PID != before.PID {
		t.Errorf("the daemon was disturbed: %s %+v", o.State, o.Instance)
	}
}

func TestHousekeepKeepsAsManyFilesAsTheSpecSays(t *testing.T) {
	r := newRig(t)
	d := shell("web", "exec sleep 1000")
	d.Spec.Log = spec.Log{Path: filepath.Join(t.TempDir(), "web.log"), MaxSize: 16 << 10, MaxFiles: 2}
	if err := r.Apply(t.Context(), r.Step(spec.VerbStart, d)); err != nil {
		t.Fatal(err)
	}
	f, err := os.OpenFile(d.Spec.Log.Path, os.O_APPEND|os.O_WRONLY, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	for range 5 {
		if _, err := f.WriteString(strings.Repeat("x", 24<<10)); err != nil {
			t.Fatal(err)
		}
		if _, err := r.Housekeep(t.Context()); err != nil {
			t.Fatal(err)
		}
	}
	rotated, err := filepath.Glob(d.Spec.Log.Path + ".*")
	if err != nil || len(rotated) != 2 {
		t.Errorf("rotated files are %q, %v; want 2", rotated, err)
	}
}
