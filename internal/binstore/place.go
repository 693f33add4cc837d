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

	"reconciler.dev/reconciler/internal/atomicfile"
	"reconciler.dev/reconciler/internal/failpoint"
	"reconciler.dev/reconciler/internal/plainfile"
)

// Place is where one daemon wants its program.
type Place struct {
	// Digest says which program it is.
	Digest string
	// Path is where it is executed: anywhere, with Mode and Owner, or what Store.Path says.
	Path  string
	Mode  fs.FileMode
	Owner atomicfile.Owner
}

// inStore tells whether a path is one of Store.Path.
func (s *Store) inStore(path string) bool {
	return filepath.Dir(filepath.Dir(path)) == s.dirs.Programs()
}

// Install puts a program that is in the store where a daemon executes it, at once and flushed, and remembers that it did, so that Withdraw takes it away again. A file of
// ours is replaced, whatever somebody made of it; with any other in the way the error wraps ErrTaken, unless force says that it may go. What runs isn't touched: it keeps the
// file that it was started from. The caller holds the daemon's lock.
func (s *Store) Install(ctx context.Context, daemon string, p Place, force bool) error {
	from, err := s.Check(ctx, p.Digest)
	if err != nil {
		return err
	}
	r, err := s.Record(daemon)
	if err != nil {
		return err
	}
	outside := p.Path
	if s.inStore(p.Path) {
		outside = ""
	} else if err := s.free(daemon, p, r, force); err != nil {
		return err
	}
	if err := s.claim(ctx, daemon, &r, p.Digest, outside); err != nil {
		return err
	}
	failpoint.Hit(failpoint.ProgramClaimed)
	if outside == "" {
		err = link(from, p.Path)
	} else {
		err = s.copy(ctx, from, p)
	}
	if _, kept := os.Lstat(from); err != nil && errors.Is(kept, fs.ErrNotExist) { // it was swept before it was claimed
		return fmt.Errorf("find program %s: %w", p.Digest, ErrNotKept)
	}
	if err != nil {
		return err
	}
	failpoint.Hit(failpoint.ProgramPlaced)
	return s.see(daemon, r, p)
}

// claim remembers durably that a program is about to be placed: so a crash can't turn our own file into a stranger's.
func (s *Store) claim(ctx context.Context, daemon string, r *Record, digest, path string) error {
	lock, err := s.lock(ctx, "records")
	if err != nil {
		return err
	}
	defer lock.Release()
	r.claim(digest, path)
	return s.keep(daemon, *r, atomicfile.Durable)
}

// see remembers what was placed. To lose that costs one reading.
func (s *Store) see(daemon string, r Record, p Place) error {
	info, err := os.Stat(p.Path)
	if err != nil {
		return err
	}
	if id, ok := IdentityOf(info); ok {
		s.remember(id, p.Digest)
		r.see(Seen{id, p.Digest})
	}
	return s.keep(daemon, r, atomicfile.Volatile)
}

// free says what is in the way, if anything is.
func (s *Store) free(daemon string, p Place, r Record, force bool) error {
	info, err := os.Lstat(p.Path)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return nil
	case err != nil:
		return err
	case info.IsDir():
		return fmt.Errorf("%s is a directory: %w", p.Path, ErrTaken)
	case force || len(r.Put[p.Path]) > 0:
		return nil
	}
	if info.Mode().IsRegular() {
		have, err := s.DigestOf(p.Path)
		if err != nil || have == p.Digest {
			return err
		}
	}
	ours := false
	err = s.others(daemon, func(_ string, o Record) bool {
		ours = len(o.Put[p.Path]) > 0
		return !ours
	})
	if err == nil && !ours {
		err = fmt.Errorf("%s is there already: move it away or use --force: %w", p.Path, ErrTaken)
	}
	return err
}

// link gives a content of the store a further name beside it.
func link(from, to string) error {
	have, err := os.Lstat(to)
	content, cerr := os.Lstat(from)
	if err == nil && cerr == nil && os.SameFile(have, content) {
		return nil
	}
	if err == nil { // of a content that was damaged and came again
		if err := atomicfile.Remove(to, atomicfile.Volatile); err != nil {
			return err
		}
	}
	if err := os.Link(from, to); err != nil && !errors.Is(err, fs.ErrExist) {
		return err
	}
	return flush(filepath.Dir(to))
}

// flush makes names in a folder survive the loss of power.
func flush(dir string) error {
	d, err := os.Open(dir)
	if err != nil {
		return err
	}
	defer d.Close()
	return d.Sync()
}

// copy puts a content anywhere, where it isn't already.
func (s *Store) copy(ctx context.Context, from string, p Place) error {
	if info, err := os.Lstat(p.Path); err == nil && info.Mode().IsRegular() && modeOf(info) == p.Mode && owns(p.Owner, info) {
		if have, err := s.DigestOf(p.Path); err == nil && have == p.Digest {
			return nil
		}
	}
	src, err := os.Open(from)
	if err != nil {
		return err
	}
	defer src.Close()
	info, err := src.Stat()
	if err != nil {
		return err
	}
	dir := filepath.Dir(p.Path)
	if err := atomicfile.MkdirAll(dir, 0o755, atomicfile.Durable); err != nil {
		return err
	}
	if err := roomFor(dir, info.Size()); err != nil {
		return err
	}
	switch err := atomicfile.WriteFrom(p.Path, verifying(src, p.Digest), p.Mode, p.Owner, atomicfile.Durable); {
	case noRoom(err):
		return fmt.Errorf("%w: %w", err, ErrFull)
	case err != nil:
		return err
	}
	return plainfile.Unwritten(ctx, p.Path)
}

// verifying reads what r does, and ends with an error where that isn't the content of digest.
func verifying(r io.Reader, digest string) io.Reader {
	sum := sha256.New()
	return io.MultiReader(io.TeeReader(r, sum), reading(func([]byte) (int, error) {
		if have := prefix + hex.EncodeToString(sum.Sum(nil)); have != digest {
			return 0, fmt.Errorf("what was read has the digest %s, and not %s: %w", have, digest, ErrDamaged)
		}
		return 0, io.EOF
	}))
}

func modeOf(info fs.FileInfo) fs.FileMode {
	return info.Mode() & (fs.ModePerm | fs.ModeSetuid | fs.ModeSetgid | fs.ModeSticky)
}
