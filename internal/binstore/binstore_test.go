package binstore

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"io"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"

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
