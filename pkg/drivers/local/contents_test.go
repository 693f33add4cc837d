package local

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"testing"
	"time"

	"reconciler.dev/reconciler/pkg/drivers"
	"reconciler.dev/reconciler/pkg/drivers/driverstest"
	"reconciler.dev/reconciler/pkg/spec"
)

func put(t *testing.T, h *Host, content string) (digest string) {
	t.Helper()
	digest = driverstest.ContentDigest([]byte(content))
	if err := h.Put(t.Context(), digest, []byte(content)); err != nil {
		t.Fatal(err)
	}
	return digest
}

func has(t *testing.T, h *Host, digest string) bool {
	t.Helper()
	ok, err := h.Has(t.Context(), digest)
	if err != nil {
		t.Fatal(err)
	}
	return ok
}

func TestContentsComeBackByTheirDigest(t *testing.T) {
	h := newHost(t)
	for _, content := range []string{"", "port 80\n", "\x00\xff"} {
		if has(t, h, driverstest.ContentDigest([]byte(content))) {
			t.Errorf("%q is there before it was put", content)
		}
		digest := put(t, h, content)
		put(t, h, content)
		if got, err := h.Get(t.Context(), digest); err != nil || string(got) != content || !has(t, h, digest) {
			t.Errorf("put %q and got %q, %v", content, got, err)
		}
	}
}

func TestContentsMustBeWhatTheirDigestSays(t *testing.T) {
	h := newHost(t)
	digest := driverstest.ContentDigest([]byte("a"))
	if err := h.Put(t.Context(), digest, []byte("b")); !errors.Is(err, drivers.ErrPermanent) || has(t, h, digest) {
		t.Errorf("a wrong content was kept: %v", err)
	}
	for _, bad := range []string{"", "sha256:", "sha256:../../x", "md5:" + digest[7:], digest + "0", "sha256:" + "G" + digest[8:]} {
		if err := h.Put(t.Context(), bad, []byte("a")); !errors.Is(err, drivers.ErrPermanent) {
			t.Errorf("put %q: %v", bad, err)
		}
		if _, err := h.Get(t.Context(), bad); err == nil {
			t.Errorf("get %q passed", bad)
		}
		if _, err := h.Has(t.Context(), bad); err == nil {
			t.Errorf("has %q passed", bad)
		}
	}
	if _, err := h.Get(t.Context(), digest); !errors.Is(err, drivers.ErrNotFound) {
		t.Errorf("got %v, want ErrNotFound", err)
	}
}

func TestADamagedContentIsNoContentAndCanBePutAgain(t *testing.T) {
	h := newHost(t)
	digest := put(t, h, "good")
	path, err := h.content(digest)
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(path, []byte("evil"), 0o600); err != nil {
		t.Fatal(err)
	}
	if got, err := h.Get(t.Context(), digest); err == nil || got != nil {
		t.Errorf("got %q, %v", got, err)
	}
	if has(t, h, digest) {
		t.Error("the damaged content is still there, and would never be put again")
	}
	put(t, h, "good")
	if got, err := h.Get(t.Context(), digest); err != nil || string(got) != "good" {
		t.Errorf("got %q, %v", got, err)
	}
}

func TestContentsThatNoRevisionNamesAreSwept(t *testing.T) {
	h := newHost(t)
	age := func(digest string) {
		t.Helper()
		path, err := h.content(digest)
		if err != nil {
			t.Fatal(err)
		}
		old := time.Now().Add(-2 * youngest)
		if err := os.Chtimes(path, old, old); err != nil {
			t.Fatal(err)
		}
	}
	digests := make([]string, historyLimit+3)
	for i := range digests {
		digests[i] = put(t, h, fmt.Sprint("content ", i))
		archive(t, h, spec.Revision{Stamp: stamp("web", int64(i+1), digests[i])})
		if i == 1 { // another daemon has it, too
			archive(t, h, spec.Revision{Stamp: stamp("api", 1, digests[i])})
		}
		if i != 2 {
			age(digests[i])
		}
	}
	for i, digest := range digests {
		if path, _ := h.content(digest); (i != 0) != exists(path) {
			t.Errorf("content %d: there is %v", i, exists(path))
		}
	}
}

func exists(path string) bool {
	_, err := os.Lstat(filepath.Clean(path))
	return err == nil
}
