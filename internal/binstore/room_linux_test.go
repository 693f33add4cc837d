package binstore

import (
	"errors"
	"os"
	"path/filepath"
	"syscall"
	"testing"

	"golang.org/x/sys/unix"

	"reconciler.dev/reconciler/internal/spawn"
	"reconciler.dev/reconciler/test/labhost"
)

func TestMain(m *testing.M) {
	spawn.Main()
	labhost.Main(m)
}

// TestAFullDisk is a file system of which a part is free. What doesn't fit is refused before it is sent, what turns out not to fit takes nothing away, and what was there stays.
func TestAFullDisk(t *testing.T) { labhost.Test(t, labhost.Bare, fullDisk) }

func fullDisk(t *testing.T) {
	r := newRig(t)
	small := t.TempDir()
	if err := unix.Mount("tmpfs", small, "tmpfs", 0, "size=1m"); err != nil {
		t.Fatal(err)
	}
	defer func() { _ = unix.Unmount(small, unix.MNT_DETACH) }()
	r.dirs.State = small
	old := r.put(noise(1, 300_000))
	to := filepath.Join(small, "worker")
	r.install("web", at(old, to))
	big := noise(2, 2_000_000)
	read := &counting{Reader: failing{errors.New("nobody shall read")}}
	err := r.Put(t.Context(), digest(big), int64(len(big)), 0, read)
	if !errors.Is(err, ErrFull) || read.n > 0 {
		t.Errorf("what doesn't fit: %v", err)
	}
	fits := r.put(noise(3, 300_000))
	if err := r.Install(t.Context(), "web", at(fits, to), false); !errors.Is(err, ErrFull) || r.read(to) != old {
		t.Errorf("what fits into the store and not beside it: %v", err)
	}
	if err := os.WriteFile(filepath.Join(small, "fill"), make([]byte, 1<<20), 0o600); !errors.Is(err, syscall.ENOSPC) {
		t.Fatalf("the disk isn't full: %v", err)
	}
	if r.read(to) != old || !r.holds(old) {
		t.Error("what was there isn't any more")
	}
	if gone, err := r.Withdraw(t.Context(), "web", false, false); err != nil || len(gone) != 1 {
		t.Errorf("nothing can be taken away from a full disk: %v", err)
	}
}
