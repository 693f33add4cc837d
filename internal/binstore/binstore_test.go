package binstore

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"io"
	"io/fs"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"reconciler.dev/reconciler/internal/atomicfile"
	"reconciler.dev/reconciler/internal/layout"
)

// digest is that of a content.
func digest(b []byte) string {
	sum := sha256.Sum256(b)
	return prefix + hex.EncodeToString(sum[:])
}

// noise is a content of n bytes that no other seed gives.
func noise(seed, n int) []byte {
	b := make([]byte, n)
	if _, err := rand.NewChaCha8([32]byte{byte(seed), byte(seed >> 8)}).Read(b); err != nil {
		panic(err)
	}
	return b
}

// rig is a store, and what a test does with it.
type rig struct {
	*testing.T
	*Store
}

func newRig(t *testing.T) *rig { return &rig{t, New(layout.Under(t.TempDir()))} }

// put takes a content in from its beginning.
func (r *rig) put(b []byte) string {
	r.Helper()
	if err := r.Put(r.Context(), digest(b), int64(len(b)), 0, bytes.NewReader(b)); err != nil {
		r.Fatal(err)
	}
	return digest(b)
}

// holds says whether the whole of a content is there, and fails where something else is.
func (r *rig) holds(digest string) bool {
	r.Helper()
	_, whole, err := r.Have(digest)
	if err != nil {
		r.Fatal(err)
	}
	f, err := r.Open(digest)
	if !whole {
		if !errors.Is(err, ErrNotKept) {
			r.Errorf("open what isn't there: %v", err)
		}
		return false
	}
	if err != nil {
		r.Fatal(err)
	}
	defer f.Close()
	b, err := io.ReadAll(f)
	if sum := sha256.Sum256(b); err != nil || prefix+hex.EncodeToString(sum[:]) != digest {
		r.Errorf("content %s holds something else, %v", digest, err)
	}
	return true
}

func TestAContentIsWholeOrNotThere(t *testing.T) {
	r, b := newRig(t), noise(1, 100_000)
	if r.holds(digest(b)) {
		t.Error("it is there before it came")
	}
	r.put(b)
	if !r.holds(digest(b)) {
		t.Error("it isn't there")
	}
	info, err := os.Stat(r.contentPath(digest(b)[len(prefix):]))
	if err != nil || info.Mode().Perm() != 0o755 {
		t.Errorf("its mode is %v, %v", info.Mode(), err)
	}
	if err := r.Put(t.Context(), digest(b), int64(len(b)), 0, failing{errors.New("nobody shall read")}); err != nil {
		t.Errorf("to take in what is there: %v", err)
	}
}

// failing is a reader that has nothing but an error.
type failing struct{ err error }

func (f failing) Read([]byte) (int, error) { return 0, f.err }

func TestACutAtEveryTenthIsResumed(t *testing.T) {
	b := noise(2, 1_000_003)
	cut := errors.New("the link is cut")
	for tenth := range 10 {
		r := newRig(t)
		at := len(b) * tenth / 10
		err := r.Put(t.Context(), digest(b), int64(len(b)), 0, io.MultiReader(bytes.NewReader(b[:at]), failing{cut}))
		if !errors.Is(err, cut) || r.holds(digest(b)) {
			t.Fatalf("cut at %d: %v", at, err)
		}
		again := New(r.dirs) // as the next process has it
		have, whole, err := again.Have(digest(b))
		if err != nil || whole || have != int64(at) {
			t.Fatalf("cut at %d: there are %d bytes, whole %v, %v", at, have, whole, err)
		}
		rest := &counting{Reader: bytes.NewReader(b[have:])}
		if err := again.Put(t.Context(), digest(b), int64(len(b)), have, rest); err != nil {
			t.Fatal(err)
		}
		if !r.holds(digest(b)) || rest.n != len(b)-at {
			t.Errorf("cut at %d: %d bytes were read after it, want %d", at, rest.n, len(b)-at)
		}
	}
}

type counting struct {
	io.Reader
	n int
}

func (c *counting) Read(p []byte) (int, error) {
	n, err := c.Reader.Read(p)
	c.n += n
	return n, err
}

// TestWhatArrivesWrong never becomes a program, and is begun anew.
func TestWhatArrivesWrong(t *testing.T) {
	b := noise(3, 50_000)
	other := slices.Concat(b[:20_000], []byte{^b[20_000]}, b[20_001:])
	for name, sent := range map[string][]byte{"another content of that size": other, "more than there shall be": slices.Concat(b, []byte("x"))} {
		r := newRig(t)
		if err := r.Put(t.Context(), digest(b), int64(len(b)), 0, bytes.NewReader(sent)); !errors.Is(err, ErrDamaged) {
			t.Errorf("%s: %v", name, err)
		}
		if have, whole, err := r.Have(digest(b)); have != 0 || whole || err != nil {
			t.Errorf("%s: %d bytes are left, whole %v, %v", name, have, whole, err)
		}
		r.put(b)
		if !r.holds(digest(b)) {
			t.Errorf("%s: it isn't there after the second try", name)
		}
	}
	r := newRig(t)
	if err := r.Put(t.Context(), digest(b), int64(len(b)), 0, bytes.NewReader(b[:10])); !errors.Is(err, io.ErrUnexpectedEOF) || r.holds(digest(b)) {
		t.Errorf("less than there shall be: %v", err)
	}
}

// TestWhatAPowerCutLeft is a part whose bytes aren't those that were written: the end finds it, and the next try begins anew.
func TestWhatAPowerCutLeft(t *testing.T) {
	r, b := newRig(t), noise(4, 50_000)
	for what, left := range map[string][]byte{"zeros": make([]byte, 30_000), "more than the whole": make([]byte, 60_000)} {
		partial := r.partialPath(digest(b)[len(prefix):])
		if err := os.MkdirAll(filepath.Dir(partial), 0o700); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(partial, left, 0o600); err != nil {
			t.Fatal(err)
		}
		for range 3 { // no more tries than this
			have, _, err := r.Have(digest(b))
			if err != nil {
				t.Fatal(err)
			}
			have = min(have, int64(len(b)))
			err = r.Put(t.Context(), digest(b), int64(len(b)), have, bytes.NewReader(b[have:]))
			if err == nil {
				break
			}
			if !errors.Is(err, ErrDamaged) && !errors.Is(err, ErrMoved) {
				t.Fatal(err)
			}
		}
		if !r.holds(digest(b)) {
			t.Errorf("%s: it never came", what)
		}
		if err := os.RemoveAll(r.dirs.Programs()); err != nil {
			t.Fatal(err)
		}
	}
}

func TestWrongQuestions(t *testing.T) {
	r, b := newRig(t), noise(5, 10)
	for _, bad := range []string{"", "sha256:", "sha256:../../../../etc/passwd", strings.ToUpper(digest(b)), digest(b) + "0", digest(b)[7:]} {
		if _, _, err := r.Have(bad); err == nil {
			t.Errorf("Have(%q) has an answer", bad)
		}
		if err := r.Put(t.Context(), bad, 0, 0, strings.NewReader("")); err == nil {
			t.Errorf("Put(%q) did something", bad)
		}
		if _, err := r.Path(bad, "worker"); err == nil {
			t.Errorf("Path(%q) is one", bad)
		}
	}
	for _, name := range []string{"", ".", "..", "a/b", ".worker.tmp-0"} {
		if _, err := r.Path(digest(b), name); err == nil {
			t.Errorf("Path(%q) is one", name)
		}
	}
	if err := r.Put(t.Context(), digest(b), 10, 3, bytes.NewReader(b[3:])); !errors.Is(err, ErrMoved) {
		t.Errorf("to go on where nothing is: %v", err)
	}
	if err := r.Put(t.Context(), digest(b), 10, 11, nil); err == nil {
		t.Error("to go on behind the end is possible")
	}
}

// TestManyTakeInTheSame: one of them transfers, and the others read nothing.
func TestManyTakeInTheSame(t *testing.T) {
	r, b := newRig(t), noise(6, 300_000)
	var wg sync.WaitGroup
	read := make([]*counting, 8)
	for i := range read {
		read[i] = &counting{Reader: bytes.NewReader(b)}
		wg.Go(func() {
			s := New(r.dirs) // each its own process, as far as locks can tell
			if err := s.Put(t.Context(), digest(b), int64(len(b)), 0, read[i]); err != nil {
				t.Error(err)
			}
		})
	}
	wg.Wait()
	all := 0
	for _, c := range read {
		all += c.n
	}
	if all != len(b) || !r.holds(digest(b)) {
		t.Errorf("%d bytes were read of %d", all, len(b))
	}
}

func TestTheEndOfTheCallerEndsIt(t *testing.T) {
	r, b := newRig(t), noise(7, 1000)
	ctx, cancel := context.WithCancel(t.Context())
	in, out := io.Pipe()
	done := make(chan error)
	go func() { done <- r.Put(ctx, digest(b), int64(len(b)), 0, in) }()
	if _, err := out.Write(b[:100]); err != nil {
		t.Fatal(err)
	}
	cancel()
	out.CloseWithError(context.Canceled)
	if err := <-done; !errors.Is(err, context.Canceled) {
		t.Errorf("it ended with %v", err)
	}
	if have, _, _ := r.Have(digest(b)); have != 100 {
		t.Errorf("%d bytes are left of 100", have)
	}
}

func TestDamageInTheStoreIsFound(t *testing.T) {
	r, b := newRig(t), noise(8, 1000)
	r.put(b)
	path, err := r.Check(t.Context(), digest(b))
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(path, []byte("rot"), 0o755); err != nil {
		t.Fatal(err)
	}
	if _, err := New(r.dirs).Check(t.Context(), digest(b)); !errors.Is(err, ErrDamaged) {
		t.Errorf("a damaged content: %v", err)
	}
	if r.holds(digest(b)) {
		t.Error("it is still there")
	}
	if _, err := r.Check(t.Context(), digest(b)); !errors.Is(err, ErrNotKept) {
		t.Errorf("one that isn't there: %v", err)
	}
}

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
