package systemd

import (
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

// TestListings: a directory that was left alone isn't read again, and what is put there or taken away is seen at once.
func TestListings(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "units")
	var l listings
	want := func(names ...string) {
		t.Helper()
		all := map[string]bool{}
		for _, n := range names {
			all[n] = true
		}
		if got, err := l.names(dir); err != nil || !cmp.Equal(got, all) && len(got)+len(all) > 0 {
			t.Errorf("there are %v, %v, want %v", got, err, all)
		}
	}
	must := func(err error) {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
	}
	want()
	must(os.Mkdir(dir, 0o755))
	want()
	for _, name := range []string{"a", "b", "c"} {
		must(os.WriteFile(filepath.Join(dir, name), nil, 0o600))
	}
	want("a", "b", "c")
	if len(l.all) > 0 {
		t.Error("a directory that may still change within one tick of the clock is remembered")
	}
	for deadline := time.Now().Add(10 * time.Second); len(l.all) == 0 && time.Now().Before(deadline); {
		want("a", "b", "c")
	}
	if len(l.all) == 0 {
		t.Error("a directory that was left alone isn't remembered")
	}
	must(os.Remove(filepath.Join(dir, "b")))
	want("a", "c")
	must(os.RemoveAll(dir))
	want()
}
