package binstore

import (
	"bytes"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"reconciler.dev/reconciler/internal/atomicfile"
)

// at is a place outside of the store.
func at(digest, path string) Place {
	return Place{Digest: digest, Path: path, Mode: 0o755, Owner: atomicfile.Whoever()}
}

func (r *rig) install(daemon string, p Place) {
	r.Helper()
	if err := r.Install(r.Context(), daemon, p, false); err != nil {
		r.Fatal(err)
	}
}

func (r *rig) read(path string) string {
	b, err := os.ReadFile(path)
	if errors.Is(err, fs.ErrNotExist) {
		return ""
	}
	if err != nil {
		r.Error(err)
	}
	return digest(b)
}

func TestInstall(t *testing.T) {
	r := newRig(t)
	one, two := r.put(noise(1, 5000)), r.put(noise(2, 5000))
	to := filepath.Join(t.TempDir(), "deep", "er", "worker")
	p := at(one, to)
	p.Mode = 0o750
	for range 2 {
		r.install("web", p)
	}
	if info, err := os.Stat(to); err != nil || info.Mode().Perm() != 0o750 || r.read(to) != one {
		t.Errorf("%v, %v", info, err)
	}
	before, _ := os.Stat(to)
	r.install("web", p)
	if after, _ := os.Stat(to); !os.SameFile(before, after) {
		t.Error("what is there already is written again")
	}
	r.install("web", at(two, to))
	if after, _ := os.Stat(to); os.SameFile(before, after) || after.Mode().Perm() != 0o755 || r.read(to) != two {
		t.Error("it wasn't replaced")
	}
	in, err := r.Path(one, "worker")
	if err != nil {
		t.Fatal(err)
	}
	r.install("batch", Place{Digest: one, Path: in})
	if r.read(in) != one {
		t.Error("it can't be run from the store")
	}
	rec, err := r.Record("web")
	want := Record{Now: two, Before: []string{one}, Put: map[string][]string{to: {one, two}}}
	if rec.Seen = nil; err != nil || cmp.Diff(want, rec) != "" {
		t.Errorf("%v %s", err, cmp.Diff(want, rec))
	}
	if err := r.Install(t.Context(), "web", at(digest([]byte("no")), to), false); !errors.Is(err, ErrNotKept) || r.read(to) != two {
		t.Errorf("one that isn't there: %v", err)
	}
}

func TestWhatIsNotOursIsNotTouched(t *testing.T) {
	r := newRig(t)
	one := r.put(noise(1, 500))
	to := filepath.Join(t.TempDir(), "worker")
	theirs := []byte("theirs")
	if err := os.WriteFile(to, theirs, 0o700); err != nil {
		t.Fatal(err)
	}
	if err := r.Install(t.Context(), "web", at(one, to), false); !errors.Is(err, ErrTaken) || r.read(to) != digest(theirs) {
		t.Errorf("a stranger's file: %v", err)
	}
	if gone, err := r.Withdraw(t.Context(), "web", false, false); err != nil || len(gone) > 0 || r.read(to) != digest(theirs) {
		t.Errorf("%v are gone, %v", gone, err)
	}
	if err := r.Install(t.Context(), "web", at(one, filepath.Dir(to)), true); !errors.Is(err, ErrTaken) {
		t.Errorf("a folder, with force: %v", err)
	}
	if err := r.Install(t.Context(), "web", at(one, to), true); err != nil || r.read(to) != one {
		t.Errorf("with force: %v", err)
	}
}

func TestWithdraw(t *testing.T) {
	r := newRig(t)
	one := r.put(noise(1, 500))
	dir := t.TempDir()
	to, beside := filepath.Join(dir, "worker"), filepath.Join(dir, "beside")
	if err := os.WriteFile(beside, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	for _, daemon := range []string{"web", "batch"} {
		r.install(daemon, at(one, to))
	}
	if gone, err := r.Withdraw(t.Context(), "web", false, false); err != nil || len(gone) > 0 || r.read(to) != one || !r.holds(one) {
		t.Errorf("what another daemon has: %v are gone, %v", gone, err)
	}
	if err := os.WriteFile(to, []byte("changed"), 0o755); err != nil {
		t.Fatal(err)
	}
	if _, err := r.Withdraw(t.Context(), "batch", false, false); !errors.Is(err, ErrTaken) || !strings.Contains(err.Error(), to) {
		t.Errorf("what somebody changed: %v", err)
	}
	if rec, err := r.Record("batch"); err != nil || rec.Now != one {
		t.Errorf("it is forgotten: %+v, %v", rec, err)
	}
	gone, err := r.Withdraw(t.Context(), "batch", true, false)
	if err != nil || !slices.Equal(gone, []string{to}) || r.read(to) != "" || r.holds(one) {
		t.Errorf("with force %v are gone, %v", gone, err)
	}
	if names, _ := os.ReadDir(dir); len(names) != 1 {
		t.Errorf("left are %v", names)
	}
}

// TestKeep installs ten programs, of which three before the last stay, and none that another daemon still has goes.
func TestKeep(t *testing.T) {
	r := newRig(t)
	to := filepath.Join(t.TempDir(), "worker")
	var all []string
	for i := range 10 {
		all = append(all, r.put(noise(i, 500)))
		r.install("web", at(all[i], to))
		if i == 2 {
			r.install("old", at(all[i], to+"-old"))
		}
		if err := r.Settle(t.Context(), "web", all[i], to, 3); err != nil {
			t.Fatal(err)
		}
	}
	for i, d := range all {
		if want := i >= 6 || i == 2; r.holds(d) != want {
			t.Errorf("program %d is kept: %v, want %v", i, !want, want)
		}
	}
	r.install("web", at(all[7], to)) // an undo
	if err := r.Settle(t.Context(), "web", all[7], to, 3); err != nil {
		t.Fatal(err)
	}
	rec, _ := r.Record("web")
	if rec.Seen = nil; cmp.Diff(Record{Now: all[7], Before: []string{all[9], all[8], all[6]}, Put: map[string][]string{to: {all[7]}}}, rec) != "" {
		t.Errorf("after an undo: %+v", rec)
	}
}

// TestSettleTakesAwayWhereItWas: the place changed, and then the daemon needs none any more.
func TestSettleTakesAwayWhereItWas(t *testing.T) {
	r := newRig(t)
	one := r.put(noise(1, 500))
	dir := t.TempDir()
	first, second := filepath.Join(dir, "first"), filepath.Join(dir, "second")
	r.install("web", at(one, first))
	r.install("web", at(one, second))
	if r.read(first) != one {
		t.Error("it is gone before the daemon was started anew")
	}
	if err := r.Settle(t.Context(), "web", one, second, 0); err != nil || r.read(first) != "" || r.read(second) != one {
		t.Error(err)
	}
	if err := r.Settle(t.Context(), "web", "", "", 0); err != nil || r.read(second) != "" || r.holds(one) {
		t.Error(err)
	}
	if err := r.Settle(t.Context(), "never", one, second, 0); err != nil {
		t.Error(err)
	}
}

func TestSweep(t *testing.T) {
	r := newRig(t)
	named, unnamed := r.put(noise(1, 500)), r.put(noise(2, 500))
	r.install("web", at(named, filepath.Join(t.TempDir(), "worker")))
	part := noise(3, 500)
	_ = r.Put(t.Context(), digest(part), 500, 0, bytes.NewReader(part[:100]))
	if err := r.Sweep(t.Context(), time.Hour); err != nil || !r.holds(unnamed) {
		t.Errorf("what is young: %v", err)
	}
	if err := r.Sweep(t.Context(), -time.Hour); err != nil || !r.holds(named) || r.holds(unnamed) {
		t.Error(err)
	}
	if have, _, _ := r.Have(digest(part)); have != 0 {
		t.Errorf("%d bytes of a part are left", have)
	}
}

// TestADamagedRecord stops what would need it, and nothing is swept by half of the truth.
func TestADamagedRecord(t *testing.T) {
	r := newRig(t)
	one := r.put(noise(1, 500))
	to := filepath.Join(t.TempDir(), "worker")
	r.install("web", at(one, to))
	if err := os.WriteFile(r.recordPath("web"), []byte("{"), 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := r.Withdraw(t.Context(), "web", true, false); err == nil || r.read(to) != one {
		t.Errorf("it was withdrawn: %v", err)
	}
	if err := r.Sweep(t.Context(), -time.Hour); err == nil || !r.holds(one) {
		t.Errorf("it was swept: %v", err)
	}
}
