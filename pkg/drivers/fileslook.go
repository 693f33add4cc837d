package drivers

import (
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"sync"
	"syscall"
	"time"

	"reconciler.dev/reconciler/pkg/spec"
)

// lookedAt is what stands at a path.
type lookedAt struct {
	info   fs.FileInfo // of the path itself, links not followed; nil where there is nothing
	mode   spec.Mode
	digest string // of a regular file
	err    error  // why it can't be found out
	at     time.Time
}

func (l lookedAt) exists() bool { return l.info != nil }

// what says what stands there instead of a readable file, or nothing where that is what does.
func (l lookedAt) what() string {
	switch {
	case l.err != nil:
		return "unreadable: " + l.err.Error()
	case l.info == nil:
		return "missing"
	case !l.info.Mode().IsRegular():
		return l.describe()
	}
	return ""
}

func (l lookedAt) describe() string {
	switch m := l.info.Mode(); {
	case m.IsDir():
		return "a directory"
	case m&fs.ModeSymlink != 0:
		return "a symbolic link"
	case !m.IsRegular():
		return "no regular file"
	}
	return "with other content"
}

// fileCache remembers digests, so that looking at a file that nobody touched costs a stat. It is safe for concurrent use.
type fileCache struct {
	mu    sync.Mutex
	known map[string]lookedAt
}

// settled is how old a file's last change must be for its digest to be remembered: a change right after the look might leave the same time behind,
// because file systems count time in ticks.
const settled = 100 * time.Millisecond

func (c *fileCache) look(path string) lookedAt {
	info, err := os.Lstat(path)
	switch {
	case errors.Is(err, fs.ErrNotExist), errors.Is(err, syscall.ENOTDIR):
		c.forget(path)
		return lookedAt{}
	case err != nil:
		return lookedAt{err: err}
	}
	now := lookedAt{info: info, mode: modeOf(info), at: time.Now()}
	if !info.Mode().IsRegular() {
		return now
	}
	c.mu.Lock()
	old, ok := c.known[path]
	c.mu.Unlock()
	if ok && os.SameFile(old.info, info) && old.info.Size() == info.Size() && old.info.ModTime().Equal(info.ModTime()) {
		now.digest = old.digest
		return now
	}
	if now.digest, now.err = digestOf(path, info); now.err == nil && now.at.Sub(info.ModTime()).Abs() > settled {
		c.mu.Lock()
		c.known[path] = now
		c.mu.Unlock()
	}
	return now
}

func (c *fileCache) forget(path string) {
	c.mu.Lock()
	defer c.mu.Unlock()
	delete(c.known, path)
}

// digestOf reads the file that info speaks of, and no other that came into its place.
func digestOf(path string, info fs.FileInfo) (string, error) {
	f, err := os.OpenFile(path, os.O_RDONLY|syscall.O_NONBLOCK, 0) // a pipe in its place must not make us wait
	if err != nil {
		return "", err
	}
	defer f.Close()
	if now, err := f.Stat(); err != nil || !os.SameFile(now, info) {
		return "", fmt.Errorf("read %s: it was replaced meanwhile", path)
	}
	h := sha256.New()
	if _, err := io.Copy(h, f); err != nil {
		return "", err
	}
	return "sha256:" + hex.EncodeToString(h.Sum(nil)), nil
}

func fileMode(f spec.File) spec.Mode {
	if f.Mode == nil {
		return 0o644
	}
	return *f.Mode
}

// special are the mode bits that Go keeps elsewhere than chmod(2) does.
func special() map[spec.Mode]fs.FileMode {
	return map[spec.Mode]fs.FileMode{0o4000: fs.ModeSetuid, 0o2000: fs.ModeSetgid, 0o1000: fs.ModeSticky}
}

func modeOf(info fs.FileInfo) spec.Mode {
	m := spec.Mode(info.Mode().Perm())
	for bit, there := range special() {
		if info.Mode()&there != 0 {
			m |= bit
		}
	}
	return m
}

func chmod(m spec.Mode) fs.FileMode {
	mode := fs.FileMode(m) & fs.ModePerm
	for bit, there := range special() {
		if m&bit != 0 {
			mode |= there
		}
	}
	return mode
}
