package binstore

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"hash"
	"io"
	"os"
	"path/filepath"
	"syscall"

	"reconciler.dev/reconciler/internal/atomicfile"
	"reconciler.dev/reconciler/internal/failpoint"
	"reconciler.dev/reconciler/internal/plainfile"
)

// Put takes in a content of that size, of which r reads what follows offset. It waits for others who take in the same, and does nothing once there is the whole of it. What arrived before
// an error of r, or the end of ctx, stays, and the next Put goes on there; with an offset that isn't there the error wraps ErrMoved. Once Put has returned nil the content is
// verified, and survives the loss of power.
func (s *Store) Put(ctx context.Context, digest string, size, offset int64, r io.Reader) error {
	digits, err := hexOf(digest)
	if err == nil && (size < 0 || offset < 0 || offset > size) {
		err = fmt.Errorf("%d bytes from %d on make no sense", size, offset)
	}
	if err != nil {
		return fmt.Errorf("take in program %s: %w", digest, err)
	}
	lock, err := s.lock(ctx, digits)
	if err != nil {
		return fmt.Errorf("take in program %s: %w", digest, err)
	}
	defer lock.Release()
	if _, whole, err := s.Have(digest); err != nil || whole {
		return err
	}
	if err := s.receive(ctx, digits, size, offset, r); err != nil {
		return fmt.Errorf("take in program %s: %w", digest, err)
	}
	failpoint.Hit(failpoint.ProgramArrived)
	return nil
}

// receive takes in what follows offset, under the content's lock, and makes the whole of it a program.
func (s *Store) receive(ctx context.Context, digits string, size, offset int64, r io.Reader) error {
	path := s.partialPath(digits)
	if err := s.makeDirs(filepath.Dir(path)); err != nil {
		return err
	}
	f, err := os.OpenFile(path, os.O_RDWR|os.O_CREATE, 0o600)
	if err != nil {
		return err
	}
	defer f.Close()
	sum, err := resume(f, size, offset)
	if err == nil {
		err = roomFor(filepath.Dir(path), size-offset)
	}
	if err != nil {
		return err
	}
	got, err := io.Copy(io.MultiWriter(f, sum), until(ctx, io.LimitReader(r, size-offset+1)))
	switch {
	case noRoom(err):
		return errors.Join(fmt.Errorf("write %s: %w: %w", path, err, ErrFull), os.Remove(path))
	case err != nil:
		return err
	case got < size-offset:
		return fmt.Errorf("it ended after %d of %d bytes: %w", offset+got, size, io.ErrUnexpectedEOF)
	}
	if digest := hex.EncodeToString(sum.Sum(nil)); got > size-offset || digest != digits {
		err := fmt.Errorf("what arrived has the digest sha256:%s and is dropped: %w", digest, ErrDamaged)
		return errors.Join(err, os.Remove(path))
	}
	if err := f.Close(); err != nil {
		return err
	}
	return s.adopt(ctx, path, digits)
}

// adopt makes a complete file the content.
func (s *Store) adopt(ctx context.Context, path, digits string) error {
	to := s.contentPath(digits)
	if err := atomicfile.MkdirAll(filepath.Dir(to), 0o755, atomicfile.Durable); err != nil {
		return err
	}
	if err := plainfile.Unwritten(ctx, path); err != nil {
		return err
	}
	if err := atomicfile.Adopt(path, to, 0o755, atomicfile.Durable); err != nil {
		if noRoom(err) {
			err = fmt.Errorf("%w: %w", err, ErrFull)
		}
		return err
	}
	return nil
}

// makeDirs makes the folders. Others may pass through that of the programs, to those that they run.
func (s *Store) makeDirs(partial string) error {
	if err := atomicfile.MkdirAll(s.dirs.Programs(), 0o711, atomicfile.Durable); err != nil {
		return err
	}
	return atomicfile.MkdirAll(partial, 0o700, atomicfile.Volatile)
}

// resume goes to the end of f, which is to be at offset, and returns the hash of what is there.
func resume(f *os.File, size, offset int64) (hash.Hash, error) {
	sum := sha256.New()
	have, err := io.Copy(sum, f)
	if err == nil && have > size {
		err = f.Truncate(0) // what is this? It is begun anew
		have = 0
	}
	if err == nil && have != offset {
		err = fmt.Errorf("%d bytes are there, and not %d: %w", have, offset, ErrMoved)
	}
	return sum, err
}

// until reads what r does, until ctx ends.
func until(ctx context.Context, r io.Reader) io.Reader {
	return reading(func(p []byte) (int, error) {
		if err := ctx.Err(); err != nil {
			return 0, err
		}
		return r.Read(p)
	})
}

// reading is a reader made of a function.
type reading func(p []byte) (int, error)

func (f reading) Read(p []byte) (int, error) { return f(p) }

// noRoom tells whether an error says that a disk, or somebody's part of it, is full.
func noRoom(err error) bool {
	return errors.Is(err, syscall.ENOSPC) || errors.Is(err, syscall.EDQUOT) || errors.Is(err, syscall.EFBIG)
}

// roomFor refuses early what there is no room for.
func roomFor(dir string, need int64) error {
	if free, known := freeSpace(dir); known && free < need {
		return fmt.Errorf("%s is needed below %s, and %s is free: make room there: %w", megabytes(need), dir, megabytes(free), ErrFull)
	}
	return nil
}

func megabytes(n int64) string { return fmt.Sprintf("%.1f MB", float64(n)/1e6) }
