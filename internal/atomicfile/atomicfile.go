// Package atomicfile replaces files so that a reader, or whoever looks after a crash, finds either the old content or the new one and never a part of it.
//
// It must never write into a file that somebody may be reading.
package atomicfile

import (
	"bytes"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"time"

	"reconciler.dev/reconciler/internal/failpoint"
)

// Durability says what a written file must survive.
type Durability int

const (
	// Volatile files survive the death of this process. They cost no disk flush.
	Volatile Durability = iota
	// Durable files survive the loss of power as well, once Write has returned.
	Durable
)

const tempMark = ".tmp-"

// Owner is whom a file shall belong to, by number. -1 leaves the user or the group as it falls out.
type Owner struct{ UID, GID int }

// Whoever is the Owner that changes nothing.
func Whoever() Owner { return Owner{UID: -1, GID: -1} }

// Write makes path hold data, with exactly the permissions of mode whatever the umask. A symbolic link at path is replaced, not followed.
// On an error path is as it was, and nothing is left beside it. Concurrent writes of one path are safe; the last one wins. What a write that was killed
// half-way left beside path, the next write or removal of path takes away.
func Write(path string, data []byte, mode fs.FileMode, d Durability) error {
	return WriteOwned(path, data, mode, Whoever(), d)
}

// WriteOwned is Write of a file that belongs to owner from the instant it stands at path.
func WriteOwned(path string, data []byte, mode fs.FileMode, owner Owner, d Durability) error {
	return WriteFrom(path, bytes.NewReader(data), mode, owner, d)
}

// WriteFrom is WriteOwned of what r reads to its end. An error of r leaves path as it was.
func WriteFrom(path string, r io.Reader, mode fs.FileMode, owner Owner, d Durability) (err error) {
	dir, base := filepath.Split(path)
	f, release, err := createTemp(dir, base)
	if err != nil {
		return fmt.Errorf("write %s: %w", path, err)
	}
	defer release()
	defer func() {
		if err != nil {
			f.Close() // closed twice where closing was what failed: harmless
			os.Remove(f.Name())
			err = fmt.Errorf("write %s: %w", path, err)
		}
	}()
	if _, err = io.Copy(f, r); err != nil {
		return err
	}
	if owner != Whoever() {
		if err = f.Chown(owner.UID, owner.GID); err != nil {
			return err
		}
	}
	if err = f.Chmod(mode); err != nil { // after the change of owner, which clears set-user-ID: chown(2)
		return err
	}
	failpoint.Hit(failpoint.FileTemp)
	if d == Durable {
		if err = f.Sync(); err != nil {
			return err
		}
	}
	if err = f.Close(); err != nil {
		return err
	}
	failpoint.Hit(failpoint.FileRename)
	if err = os.Rename(f.Name(), path); err != nil {
		return err
	}
	failpoint.Hit(failpoint.FileRenamed)
	if d == Durable {
		return syncDir(dir)
	}
	return nil
}

// MkdirAll makes a directory with the parents that are missing. Durable ones, as Durable files in them need, survive the loss of power.
func MkdirAll(path string, mode fs.FileMode, d Durability) error {
	var made []string
	for dir := path; d == Durable; dir = filepath.Dir(dir) {
		if _, err := os.Lstat(dir); err == nil || filepath.Dir(dir) == dir {
			break
		}
		made = append(made, dir)
	}
	if err := os.MkdirAll(path, mode); err != nil {
		return err
	}
	for _, dir := range made {
		if err := syncDir(filepath.Dir(dir)); err != nil {
			return fmt.Errorf("make directory %s: %w", dir, err)
		}
	}
	return nil
}

// Remove removes path; that it is not there is no error.
func Remove(path string, d Durability) error {
	dir, base := filepath.Split(path)
	discardTemps(dir, base)
	if err := os.Remove(path); err != nil {
		if os.IsNotExist(err) {
			return nil
		}
		return fmt.Errorf("remove: %w", err)
	}
	if d == Durable {
		if err := syncDir(filepath.Dir(path)); err != nil {
			return fmt.Errorf("remove %s: %w", path, err)
		}
	}
	return nil
}

// IsTemp tells whether a file of that name was on its way to be renamed, and is nothing that a reader of the directory wants.
func IsTemp(name string) bool {
	return strings.HasPrefix(filepath.Base(name), ".") && strings.Contains(name, tempMark)
}

// Stale is an age for Sweep: no file that is still being written is that old.
const Stale = time.Hour

// Sweep removes what writes that were killed half-way left in dir, where it is older than age.
func Sweep(dir string, age time.Duration) error {
	entries, err := os.ReadDir(dir)
	if err != nil {
		if os.IsNotExist(err) {
			return nil
		}
		return fmt.Errorf("sweep: %w", err)
	}
	for _, e := range entries {
		if !IsTemp(e.Name()) {
			continue
		}
		if fi, err := e.Info(); err == nil && time.Since(fi.ModTime()) > age {
			if err := Remove(filepath.Join(dir, e.Name()), Volatile); err != nil {
				return fmt.Errorf("sweep: %w", err)
			}
		}
	}
	return nil
}
