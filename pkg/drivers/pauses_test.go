//go:build unix

package drivers_test

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"reconciler.dev/reconciler/pkg/spec"
)

func TestPausesOutliveTheBoot(t *testing.T) {
	f := newFixture(t)
	f.must(spec.VerbPause, f.daemon("web"))
	if err := os.RemoveAll(f.dirs.Run); err != nil { // as a reboot does
		t.Fatal(err)
	}
	if o := f.observe("web"); o.Paused == nil || o.Paused.By != "test" {
		t.Errorf("paused: %+v", o.Paused)
	}
}

// TestAnUnreadablePauseIsAPause: what a user stopped must not start because a disk failed.
func TestAnUnreadablePauseIsAPause(t *testing.T) {
	f := newFixture(t)
	dir := filepath.Join(f.dirs.State, "paused")
	if err := os.MkdirAll(dir, 0o700); err != nil {
		t.Fatal(err)
	}
	f.write(filepath.Join(dir, "web.json"), "{half")
	if o := f.observe("web"); o.Paused == nil || !strings.Contains(o.Paused.By, "web.json") {
		t.Errorf("paused: %+v", o.Paused)
	}
	f.must(spec.VerbResume, f.daemon("web"))
	if o := f.observe("web"); o.Paused != nil {
		t.Errorf("paused after resume: %+v", o.Paused)
	}
}

func TestHalfWrittenPausesAreNone(t *testing.T) {
	f := newFixture(t)
	dir := filepath.Join(f.dirs.State, "paused")
	if err := os.MkdirAll(dir, 0o700); err != nil {
		t.Fatal(err)
	}
	f.write(filepath.Join(dir, ".web.json.tmp-1"), "{half")
	for _, name := range []string{"web", ".web", ".web.json.tmp-1"} {
		if o := f.observe(name); o.Paused != nil {
			t.Errorf("%s is paused: %+v", name, o.Paused)
		}
	}
}
