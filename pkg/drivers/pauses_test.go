//go:build unix

package drivers_test

import (
	"context"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"reconciler.dev/reconciler/pkg/drivers"
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

// TestAnUnreadableBookPausesEverybody: what a user stopped must not start because a disk failed.
func TestAnUnreadableBookPausesEverybody(t *testing.T) {
	f := newFixture(t)
	book := filepath.Join(f.dirs.State, "paused.json")
	for name, text := range map[string]string{"half": `{"web":`, "no list of pauses": `["web"]`} {
		t.Run(name, func(t *testing.T) {
			f.write(book, text)
			for _, daemon := range []string{"web", "db"} {
				if o := f.observe(daemon); o.Paused == nil || !strings.Contains(o.Paused.By, book) {
					t.Errorf("%s: paused %+v", daemon, o.Paused)
				}
			}
			for _, verb := range []spec.Verb{spec.VerbPause, spec.VerbResume} {
				err := f.Apply(t.Context(), f.step(verb, f.daemon("web")))
				if err == nil || !strings.Contains(err.Error(), book) {
					t.Errorf("%s: %v", verb, err)
				}
			}
			if text, err := os.ReadFile(book); err != nil || len(text) == 0 {
				t.Errorf("the book is gone: %q, %v", text, err)
			}
		})
	}
	if err := os.Remove(book); err != nil {
		t.Fatal(err)
	}
	if o := f.observe("web"); o.Paused != nil {
		t.Errorf("without the file it is paused: %+v", o.Paused)
	}
}

func TestTheLastResumeLeavesNoBook(t *testing.T) {
	f := newFixture(t)
	f.must(spec.VerbPause, f.daemon("web"))
	f.must(spec.VerbPause, f.daemon("db"))
	f.must(spec.VerbResume, f.daemon("web"))
	if o := f.observe("web"); o.Paused != nil {
		t.Errorf("web: %+v", o.Paused)
	}
	if o := f.observe("db"); o.Paused == nil {
		t.Error("db isn't paused any more")
	}
	f.must(spec.VerbResume, f.daemon("db"))
	left, err := os.ReadDir(f.dirs.State)
	if err != nil || len(left) != 0 {
		t.Errorf("left in the state directory: %v, %v", left, err)
	}
}

// booter is a driver whose platform starts daemons at boot.
type booter struct {
	drivers.Driver
	atBoot map[string]bool
}

func (b booter) AtBoot(_ context.Context, name string, start bool) error {
	b.atBoot[name] = start
	return nil
}

// Observe says of what isn't started at boot that it has drifted.
func (b booter) Observe(ctx context.Context, names ...string) ([]spec.Observed, error) {
	found, err := b.Driver.Observe(ctx, names...)
	for i, o := range found {
		if !b.atBoot[o.Name] {
			found[i].Drift = append(o.Drift, spec.Drift{Field: drivers.DriftAtBoot})
		}
	}
	return found, err
}

// TestWhatIsPausedIsNotStartedAtBoot also not after its stamp was written anew, which puts drift right; and that it isn't is no drift.
func TestWhatIsPausedIsNotStartedAtBoot(t *testing.T) {
	f := newFixture(t)
	b := booter{f.fake, map[string]bool{}}
	f.Driver = drivers.Decorate(b, f.dirs)
	web := f.daemon("web")
	f.must(spec.VerbStart, web)
	for _, c := range []struct {
		verb   spec.Verb
		atBoot bool
		drift  int
	}{
		{spec.VerbPause, false, 0}, {spec.VerbStop, false, 0}, {spec.VerbStamp, false, 0}, {spec.VerbResume, true, 0}, {spec.VerbStamp, true, 0},
	} {
		if c.verb == spec.VerbStamp {
			b.atBoot["web"] = true
		}
		f.must(c.verb, web)
		if o := f.observe("web"); b.atBoot["web"] != c.atBoot || len(o.Drift) != c.drift {
			t.Errorf("%s: started at boot %t, want %t; drift %v", c.verb, b.atBoot["web"], c.atBoot, o.Drift)
		}
	}
	stay := f.step(spec.VerbStop, web)
	stay.Stay = true
	if err := f.Apply(t.Context(), stay); err != nil || b.atBoot["web"] {
		t.Errorf("what shall stay stopped: started at boot %t, %v", b.atBoot["web"], err)
	}
	b.atBoot["web"] = false // somebody disables it
	if o := f.observe("web"); len(o.Drift) != 1 {
		t.Errorf("drift of what isn't paused: %v", o.Drift)
	}
}
