//go:build linux

package main

import (
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"
)

// builder is a machine for hack/rootfs.sh, whose mmdebstrap is a stand-in.
type builder struct {
	machine
	cache string
}

func newBuilder(t *testing.T, uid, mmdebstrap string) builder {
	t.Helper()
	b := builder{newMachine(t, uid, ""), t.TempDir()}
	for _, tool := range []string{"sha256sum", "cut", "uname", "mkdir", "mv", "flock"} {
		real, err := exec.LookPath(tool)
		if err != nil {
			t.Fatal(err)
		}
		if err := os.Symlink(real, filepath.Join(b.bin, tool)); err != nil {
			t.Fatal(err)
		}
	}
	b.add(t, "unshare", `shift; exec "$@"`)
	if mmdebstrap != "" {
		b.add(t, "mmdebstrap", "for root; do :; done\necho built >>"+b.log+"\n"+mmdebstrap) // the root is the last argument
	}
	return b
}

func (b builder) rootfs(release ...string) (said string, root string, err error) {
	cmd := exec.Command("/bin/sh", append([]string{"../rootfs.sh"}, release...)...)
	cmd.Env = []string{"PATH=" + b.bin, "XDG_CACHE_HOME=" + b.cache}
	var errors strings.Builder
	cmd.Stderr = &errors
	out, err := cmd.Output()
	return errors.String(), strings.TrimSpace(string(out)), err
}

// left is what the cache holds.
func (b builder) left(t *testing.T) string {
	t.Helper()
	entries, err := os.ReadDir(filepath.Join(b.cache, "reconciler-test"))
	if err != nil {
		t.Fatal(err)
	}
	var names []string
	for _, e := range entries {
		name, _, _ := strings.Cut(e.Name(), "-")
		names = append(names, name)
	}
	return strings.Join(names, " ")
}

func TestRootIsMadeOnce(t *testing.T) {
	b := newBuilder(t, "0", `mkdir "$root"`)
	roots := make([]string, 4)
	var all sync.WaitGroup
	for i := range roots {
		all.Go(func() {
			said, root, err := b.rootfs()
			if err != nil {
				t.Errorf("%v: %s", err, said)
			}
			roots[i] = root
		})
	}
	all.Wait()
	for _, r := range roots {
		if info, err := os.Stat(r); err != nil || !info.IsDir() || r != roots[0] {
			t.Errorf("it prints %q: %v", r, err)
		}
	}
	if log, err := os.ReadFile(b.log); err != nil || string(log) != "built\n" {
		t.Errorf("it was made so many times: %q, %v", log, err)
	}
	if left := b.left(t); left != "lock rootfs" {
		t.Errorf("the cache holds %s", left)
	}
}

// Each release has a root of its own.
func TestRootOfAnotherRelease(t *testing.T) {
	b := newBuilder(t, "0", `mkdir "$root"; for word; do release=$before before=$word; done; echo "$release" >"$root/release"`) // the words before the root
	_, own, err := b.rootfs()
	if err != nil {
		t.Fatal(err)
	}
	for range 2 {
		said, root, err := b.rootfs("trixie")
		if err != nil {
			t.Fatalf("%v: %s", err, said)
		}
		if release, err := os.ReadFile(filepath.Join(root, "release")); err != nil || string(release) != "trixie\n" || root == own {
			t.Errorf("it prints %q, which is %q: %v; the machine's own is %q", root, release, err, own)
		}
	}
	if log, err := os.ReadFile(b.log); err != nil || string(log) != "built\nbuilt\n" {
		t.Errorf("they were made so many times: %q, %v", log, err)
	}
}

// A build that ends badly leaves nothing that the next one takes for a root.
func TestHalfARootIsNone(t *testing.T) {
	b := newBuilder(t, "0", `mkdir "$root"; echo no network >&2; exit 1`)
	if said, root, err := b.rootfs(); err == nil || root != "" || !strings.Contains(said, "no network") {
		t.Errorf("it prints %q and says %q: %v", root, said, err)
	}
	if left := b.left(t); left != "lock" {
		t.Errorf("the cache holds %s", left)
	}
	if err := os.MkdirAll(filepath.Join(b.cache, "reconciler-test", "part-killed", "root"), 0o755); err != nil {
		t.Fatal(err)
	}
	b.add(t, "mmdebstrap", `for root; do :; done; mkdir "$root"`)
	if said, _, err := b.rootfs(); err != nil {
		t.Errorf("%v: %s", err, said)
	}
	if left := b.left(t); left != "lock rootfs" {
		t.Errorf("the cache holds %s", left)
	}
}

func TestRootNeeds(t *testing.T) {
	for name, tt := range map[string]struct {
		uid, says string
		ok        bool
	}{
		"root":       {"1000", "hack/rootfs.sh: only root can make hosts: the tests that need one will be skipped\n", true},
		"mmdebstrap": {"0", "hack/rootfs.sh: there is no mmdebstrap here; hack/deps.sh installs it on Debian and Ubuntu\n", false},
	} {
		t.Run(name, func(t *testing.T) {
			if said, root, err := newBuilder(t, tt.uid, "").rootfs(); (err == nil) != tt.ok || root != "" || said != tt.says {
				t.Errorf("it prints %q and says %q: %v", root, said, err)
			}
		})
	}
}
