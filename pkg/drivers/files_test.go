//go:build unix

package drivers_test

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"reconciler.dev/reconciler/internal/flock"
	"reconciler.dev/reconciler/pkg/drivers"
	"reconciler.dev/reconciler/pkg/spec"
)

func TestFilesNeverFollowSymbolicLinks(t *testing.T) {
	f := newFixture(t)
	elsewhere, link := filepath.Join(t.TempDir(), "passwd"), f.path("conf")
	f.write(elsewhere, "theirs")
	if err := os.Symlink(elsewhere, link); err != nil {
		t.Fatal(err)
	}
	d := f.daemon("web", link, "ours")
	s := f.step(spec.VerbFiles, d)
	if err := f.Apply(t.Context(), s); !errors.Is(err, drivers.ErrConflict) || !strings.Contains(err.Error(), "symbolic link") {
		t.Errorf("got %v, want a conflict that tells of the link", err)
	}
	s.Force = true
	if err := f.Apply(t.Context(), s); err != nil {
		t.Fatal(err)
	}
	f.holds(elsewhere, "theirs")
	f.holds(link, "ours")
	if info, err := os.Lstat(link); err != nil || !info.Mode().IsRegular() {
		t.Errorf("the link wasn't replaced: %v, %v", info.Mode(), err)
	}
}

// TestALinkPutInThePlaceOfAFileIsDrift: what it leads to may well hold what we want.
func TestALinkPutInThePlaceOfAFileIsDrift(t *testing.T) {
	f := newFixture(t)
	path, other := f.path("conf"), f.path("other")
	d := f.daemon("web", path, "x")
	f.must(spec.VerbFiles, d)
	f.must(spec.VerbStart, d)
	f.write(other, "x")
	if err := errors.Join(os.Remove(path), os.Symlink(other, path)); err != nil {
		t.Fatal(err)
	}
	if drift := f.observe("web").Drift; len(drift) != 1 || drift[0].Have != "a symbolic link" {
		t.Errorf("drift is %+v", drift)
	}
	f.must(spec.VerbFiles, d)
	if drift := f.observe("web").Drift; len(drift) != 0 {
		t.Errorf("after the files were written drift is %+v", drift)
	}
}

func TestFilesNeverReplaceADirectoryOrWaitForAPipe(t *testing.T) {
	f := newFixture(t)
	dir, pipe := f.path("dir"), f.path("pipe")
	if err := errors.Join(os.MkdirAll(filepath.Join(dir, "sub"), 0o755), syscall.Mkfifo(pipe, 0o644)); err != nil {
		t.Fatal(err)
	}
	s := f.step(spec.VerbFiles, f.daemon("web", dir, "x", pipe, "y"))
	err := f.Apply(t.Context(), s)
	if !errors.Is(err, drivers.ErrConflict) || !strings.Contains(err.Error(), dir) || !strings.Contains(err.Error(), pipe) {
		t.Errorf("got %v, want a conflict that names both", err)
	}
	s.Force = true
	if err := f.Apply(t.Context(), s); !errors.Is(err, drivers.ErrConflict) {
		t.Errorf("with force: got %v, want a conflict over the directory", err)
	}
}

func TestFilesSharedByTwoDaemonsStayWithTheOther(t *testing.T) {
	f := newFixture(t)
	path := f.path("shared")
	web, api := f.daemon("web", path, "x"), f.daemon("api", path, "x")
	for _, d := range []*spec.Daemon{web, api} {
		f.must(spec.VerbFiles, d)
		f.must(spec.VerbStart, d)
	}
	for _, d := range []*spec.Daemon{web, api} {
		f.holds(path, "x")
		f.must(spec.VerbStop, d)
		f.must(spec.VerbRemove, d)
	}
	if _, err := os.Lstat(path); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("the file outlived both daemons: %v", err)
	}
}

func TestFilesOfTwoDaemonsThatDisagreeAreAConflict(t *testing.T) {
	f := newFixture(t)
	path := f.path("shared")
	f.must(spec.VerbFiles, f.daemon("web", path, "x"))
	if err := f.Apply(t.Context(), f.step(spec.VerbFiles, f.daemon("api", path, "y"))); !errors.Is(err, drivers.ErrConflict) {
		t.Errorf("got %v, want a conflict", err)
	}
	f.holds(path, "x")
}

// TestOwnFilesAreKnownAfterAReboot: the stamp may be gone with the boot, the files are not.
func TestOwnFilesAreKnownAfterAReboot(t *testing.T) {
	f := newFixture(t)
	path := f.path("conf")
	f.must(spec.VerbFiles, f.daemon("web", path, "one"))
	if o := f.observe("web"); o.Stamp != nil {
		t.Fatal("there is a stamp before the start")
	}
	f.must(spec.VerbFiles, f.daemon("web", path, "two"))
	f.holds(path, "two")
	f.must(spec.VerbRemove, f.daemon("web"))
	if _, err := os.Lstat(path); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("the file is still there: %v", err)
	}
}

func TestADamagedOwnershipRecordIsNamedAndNothingIsDone(t *testing.T) {
	f := newFixture(t)
	path := f.path("conf")
	d := f.daemon("web", path, "one")
	f.must(spec.VerbFiles, d)
	record := filepath.Join(f.dirs.State, "files", "web.json")
	f.write(record, "{half")
	if err := f.Apply(t.Context(), f.step(spec.VerbFiles, f.daemon("web", path, "two"))); err == nil || !strings.Contains(err.Error(), record) {
		t.Errorf("got %v, want an error that names %s", err, record)
	}
	f.holds(path, "one")
}

func TestFilesBelongToTheDaemonsUser(t *testing.T) {
	f := newFixture(t)
	path := f.path("conf")
	d := f.daemon("web", path, "x")
	d.Spec.User = "no-such-user"
	if err := f.Apply(t.Context(), f.step(spec.VerbFiles, d)); !errors.Is(err, drivers.ErrPermanent) {
		t.Errorf("got %v, want ErrPermanent", err)
	}
	if os.Getuid() != 0 { // then nobody else may have them
		d.Spec.User = "65534"
		if err := f.Apply(t.Context(), f.step(spec.VerbFiles, d)); !errors.Is(err, drivers.ErrPermanent) {
			t.Errorf("got %v, want ErrPermanent", err)
		}
		return
	}
	for _, want := range []struct {
		user, group string
		uid, gid    uint32
	}{{"65534", "65533", 65534, 65533}, {"", "1", 0, 1}, {"", "", 0, 1}} {
		d.Spec.User, d.Spec.Group = want.user, want.group
		if want.user == "" && want.group != "" {
			d.Spec.User = "0"
		}
		f.must(spec.VerbFiles, d)
		info, err := os.Stat(path)
		if err != nil {
			t.Fatal(err)
		}
		if st := info.Sys().(*syscall.Stat_t); st.Uid != want.uid || st.Gid != want.gid {
			t.Errorf("user %q group %q: the file belongs to %d:%d, want %d:%d", want.user, want.group, st.Uid, st.Gid, want.uid, want.gid)
		}
	}
}

func TestFilesThatCannotBeWrittenArePermanent(t *testing.T) {
	f := newFixture(t)
	f.write(f.path("file"), "x")
	err := f.Apply(t.Context(), f.step(spec.VerbFiles, f.daemon("web", f.path("file/below"), "x")))
	if err == nil || !strings.HasPrefix(err.Error(), "files of daemon web: ") {
		t.Errorf("got %v", err)
	}
}

// TestLookingAtUnchangedFilesReadsNothing: the content is changed behind the back of the file system's times, so that only a read could tell.
func TestLookingAtUnchangedFilesReadsNothing(t *testing.T) {
	f := newFixture(t)
	path := f.path("conf")
	d := f.daemon("web", path, "right")
	f.must(spec.VerbFiles, d)
	f.must(spec.VerbStart, d)
	old := time.Now().Add(-time.Hour)
	if err := os.Chtimes(path, old, old); err != nil {
		t.Fatal(err)
	}
	f.observe("web")
	f.write(path, "wrong")
	if err := os.Chtimes(path, old, old); err != nil {
		t.Fatal(err)
	}
	if drift := f.observe("web").Drift; len(drift) != 0 {
		t.Errorf("the file was read although nothing said that it had changed: %+v", drift)
	}
}

func TestStepsOfANameWaitForItsLock(t *testing.T) {
	f := newFixture(t)
	d := f.daemon("web", f.path("conf"), "x")
	s := f.step(spec.VerbFiles, d)
	lock, err := drivers.LockName(t.Context(), f.dirs, "web")
	if err != nil {
		t.Fatal(err)
	}
	if _, err := drivers.TryLockName(f.dirs, "web"); !errors.Is(err, flock.ErrHeld) {
		t.Errorf("the lock isn't held: %v", err)
	}
	done := make(chan error, 1)
	go func() { done <- f.Apply(t.Context(), s) }()
	select {
	case err := <-done:
		t.Fatalf("the step didn't wait: %v", err)
	case <-time.After(50 * time.Millisecond):
	}
	lock.Release()
	if err := <-done; err != nil {
		t.Error(err)
	}
}
