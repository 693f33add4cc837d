// Package binstore keeps the programs of one host by their content: it takes them in part by part, over as many tries as that needs, puts them where daemons run them, remembers
// what it put where, and keeps those before for an undo.
//
// Nothing stands under a program's name, nor at a place, but the whole of it, verified and flushed. It must never touch a file that it didn't put there, unless it is told to.
package binstore

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"sync"

	"reconciler.dev/reconciler/internal/atomicfile"
	"reconciler.dev/reconciler/internal/flock"
	"reconciler.dev/reconciler/internal/layout"
)

// The kinds of failure that callers act on.
var (
	// ErrMoved: the content doesn't stand where the caller would go on. Ask Have again.
	ErrMoved = errors.New("it stands elsewhere")
	// ErrDamaged: what is there isn't what it is called, and is removed now. Send it again.
	ErrDamaged = errors.New("its content is another")
	// ErrNotKept: there is no such program here.
	ErrNotKept = errors.New("it isn't kept here")
	// ErrTaken: something that isn't ours is in the way. Nothing was touched.
	ErrTaken = errors.New("it isn't ours")
	// ErrFull: there is no room for it. What was there is as it was.
	ErrFull = errors.New("there is no room")
)

// Store is the programs of one host. Its methods may be called concurrently, also by other processes with the same directories.
type Store struct {
	dirs layout.Dirs

	mu sync.Mutex
	// known are the digests of files that this process has read.
	known map[Identity]string
}

// New returns the store below dirs. What is missing of it is made when it is needed.
func New(dirs layout.Dirs) *Store { return &Store{dirs: dirs, known: map[Identity]string{}} }

const (
	prefix  = "sha256:"
	content = "content" // the file of a content in its folder; the other names are links to it
)

// hexOf is the digits of a digest, which name a folder then.
func hexOf(digest string) (string, error) {
	if len(digest) == len(prefix)+2*sha256.Size && digest[:len(prefix)] == prefix {
		digits := digest[len(prefix):]
		if b, err := hex.DecodeString(digits); err == nil && hex.EncodeToString(b) == digits {
			return digits, nil
		}
	}
	return "", fmt.Errorf("%q is no digest", digest)
}

// Path is where a program of that digest is executed that is put nowhere else; name is its base name.
func (s *Store) Path(digest, name string) (string, error) {
	digits, err := hexOf(digest)
	if err != nil {
		return "", err
	}
	if name == "" || name != filepath.Base(name) || name == "." || name == ".." || atomicfile.IsTemp(name) {
		return "", fmt.Errorf("%q is no name of a file", name)
	}
	return filepath.Join(s.dirs.Programs(), digits, name), nil
}

func (s *Store) contentPath(digits string) string {
	return filepath.Join(s.dirs.Programs(), digits, content)
}
func (s *Store) partialPath(digits string) string {
	return filepath.Join(s.dirs.Programs(), "partial", digits)
}

// lock takes the lock of a content, or of all records for the digits "records".
func (s *Store) lock(ctx context.Context, digits string) (*flock.Held, error) {
	path := filepath.Join(s.dirs.Run, "programs.lock")
	h, err := flock.LockNamed(ctx, path, digits)
	if errors.Is(err, fs.ErrNotExist) {
		if err := os.MkdirAll(s.dirs.Run, 0o700); err != nil {
			return nil, err
		}
		h, err = flock.LockNamed(ctx, path, digits)
	}
	return h, err
}

// Have returns how many bytes of a content there are, so that a transfer goes on there, and whether that is the whole of it, verified. What there is stays for a while then.
func (s *Store) Have(digest string) (have int64, whole bool, err error) {
	digits, err := hexOf(digest)
	if err != nil {
		return 0, false, err
	}
	if info, err := os.Lstat(s.contentPath(digits)); err == nil && info.Mode().IsRegular() {
		touch(filepath.Dir(s.contentPath(digits)))
		return info.Size(), true, nil
	}
	info, err := os.Lstat(s.partialPath(digits))
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return 0, false, nil
	case err != nil:
		return 0, false, err
	}
	return info.Size(), false, nil
}

// Open returns a content for reading. Where there is none the error wraps ErrNotKept.
func (s *Store) Open(digest string) (*os.File, error) {
	digits, err := hexOf(digest)
	if err != nil {
		return nil, err
	}
	f, err := os.Open(s.contentPath(digits))
	if errors.Is(err, fs.ErrNotExist) {
		return nil, fmt.Errorf("open program %s: %w", digest, ErrNotKept)
	}
	return f, err
}

// Check reads a content where this process hasn't yet, and returns where it lies. One that was damaged is removed, and the error wraps ErrDamaged.
func (s *Store) Check(ctx context.Context, digest string) (path string, err error) {
	digits, err := hexOf(digest)
	if err != nil {
		return "", err
	}
	path = s.contentPath(digits)
	have, err := s.DigestOf(path)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return "", fmt.Errorf("find program %s: %w", digest, ErrNotKept)
	case err != nil:
		return "", err
	case have == digest:
		return path, nil
	}
	lock, err := s.lock(ctx, digits)
	if err != nil {
		return "", err
	}
	defer lock.Release()
	err = fmt.Errorf("%s was damaged and is removed now: %w", path, ErrDamaged)
	return "", errors.Join(err, atomicfile.Remove(path, atomicfile.Durable))
}

// DigestOf is the digest of a regular file, of the store or not, which is read only where it isn't known. Errors are those of reading.
func (s *Store) DigestOf(path string) (string, error) {
	f, err := os.Open(path)
	if err != nil {
		return "", err
	}
	defer f.Close()
	info, err := f.Stat()
	if err != nil {
		return "", err
	}
	id, identified := IdentityOf(info)
	if known, ok := s.remembered(id); ok && identified {
		return known, nil
	}
	h := sha256.New()
	if _, err := io.Copy(h, f); err != nil {
		return "", err
	}
	digest := prefix + hex.EncodeToString(h.Sum(nil))
	if after, err := f.Stat(); err == nil && identified && id.is(after) && id.settled() {
		s.remember(id, digest)
	}
	return digest, nil
}

func (s *Store) remembered(id Identity) (digest string, ok bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	digest, ok = s.known[id]
	return digest, ok
}

func (s *Store) remember(id Identity, digest string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.known[id] = digest
}
