package binstore

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"time"

	"reconciler.dev/reconciler/internal/atomicfile"
)

// Youngest is how old a content must be that nobody names to be swept: one that just came may be about to be placed.
const Youngest = time.Hour

// Settle is called once a daemon has been started as it is wanted: digest at path. What it had elsewhere is taken away, as far as nobody changed it, and of the programs before as
// many are kept as keep says. A digest that is empty says that the daemon's program isn't ours any more: then it is one of those before. The caller holds the daemon's lock.
func (s *Store) Settle(ctx context.Context, daemon, digest, path string, keep int) error {
	if !s.Known(daemon) {
		return nil
	}
	lock, err := s.lock(ctx, "records")
	if err != nil {
		return err
	}
	defer lock.Release()
	r, err := s.Record(daemon)
	if err != nil || r.Now != digest && digest != "" {
		return err // somebody has placed the next one already
	}
	r.claim(digest, "")
	for _, p := range slices.Sorted(maps.Keys(r.Put)) {
		if p == path && digest != "" {
			r.Put[p] = []string{digest}
			continue
		}
		if err := s.takeAway(daemon, p, r.Put[p], false); err != nil && !errors.Is(err, ErrTaken) {
			return err
		}
		delete(r.Put, p)
	}
	gone := slices.Clone(r.Before[min(keep, len(r.Before)):])
	r.Before = slices.Clip(r.Before[:min(keep, len(r.Before))])
	if err := s.keep(daemon, r, atomicfile.Durable); err != nil {
		return err
	}
	return s.drop(ctx, daemon, r, gone)
}

// Withdraw takes away what Install put anywhere for a daemon, forgets it, and returns the paths that are gone. A file that somebody changed stays, and the error, which wraps ErrTaken, names
// it: nothing is taken away then, unless force says that it goes, or leave that it is left to whoever changed it. What another daemon has there stays too.
func (s *Store) Withdraw(ctx context.Context, daemon string, force, leave bool) (gone []string, err error) {
	lock, err := s.lock(ctx, "records")
	if err != nil {
		return nil, err
	}
	defer lock.Release()
	r, err := s.Record(daemon)
	if err != nil {
		return nil, err
	}
	paths := slices.Sorted(maps.Keys(r.Put))
	if !force && !leave {
		var changed []error
		for _, p := range paths {
			changed = append(changed, s.unchanged(p, r.Put[p]))
		}
		if err := errors.Join(changed...); err != nil {
			return nil, err
		}
	}
	for _, p := range paths {
		switch err := s.takeAway(daemon, p, r.Put[p], force); {
		case err == nil:
			gone = append(gone, p)
		case !errors.Is(err, ErrTaken):
			return gone, err
		}
	}
	if err := s.keep(daemon, Record{}, atomicfile.Durable); err != nil {
		return gone, err
	}
	return gone, s.drop(ctx, daemon, Record{}, append(r.Before, r.Now))
}

// Release forgets which programs a daemon has that is gone; they are swept once nobody asked about them for a while. What Install put anywhere stays, for Withdraw to take away. The caller
// holds the daemon's lock.
func (s *Store) Release(ctx context.Context, daemon string) error {
	lock, err := s.lock(ctx, "records")
	if err != nil {
		return err
	}
	defer lock.Release()
	r, err := s.Record(daemon)
	if err != nil {
		return err
	}
	for _, d := range append(r.Before, r.Now) {
		if digits, err := hexOf(d); err == nil {
			touch(filepath.Dir(s.contentPath(digits)))
		}
	}
	return s.keep(daemon, Record{Put: r.Put}, atomicfile.Durable)
}

// Known tells whether anything is remembered of a daemon.
func (s *Store) Known(daemon string) bool {
	_, err := os.Lstat(s.recordPath(daemon))
	return !errors.Is(err, fs.ErrNotExist)
}

// unchanged says what somebody made of a file of ours. One that is gone is none.
func (s *Store) unchanged(path string, digests []string) error {
	info, err := os.Lstat(path)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return nil
	case err != nil:
		return err
	case !info.Mode().IsRegular():
		return fmt.Errorf("%s isn't the file any more that was put there: %w", path, ErrTaken)
	}
	have, err := s.DigestOf(path)
	if err == nil && !slices.Contains(digests, have) {
		err = fmt.Errorf("somebody changed %s (it has the digest %s): %w", path, have, ErrTaken)
	}
	return err
}

// takeAway removes a file of ours that no other daemon has. Where somebody changed it, and force is unset, the error wraps ErrTaken.
func (s *Store) takeAway(daemon, path string, digests []string, force bool) error {
	if err := s.unchanged(path, digests); err != nil && (!force || !errors.Is(err, ErrTaken)) {
		return err
	}
	shared := ""
	err := s.others(daemon, func(name string, o Record) bool {
		if len(o.Put[path]) > 0 {
			shared = name
		}
		return shared == ""
	})
	switch {
	case err != nil:
		return err
	case shared != "":
		return fmt.Errorf("daemon %s has %s too: %w", shared, path, ErrTaken)
	}
	return atomicfile.Remove(path, atomicfile.Durable)
}

// drop removes contents that r, a daemon's record, no longer names, and that no other daemon's does.
func (s *Store) drop(ctx context.Context, daemon string, r Record, digests []string) error {
	unnamed := map[string]bool{}
	for _, d := range digests {
		unnamed[d] = d != "" && !r.Names(d)
	}
	err := s.others(daemon, func(_ string, o Record) bool {
		maps.DeleteFunc(unnamed, func(d string, _ bool) bool { return o.Names(d) })
		return true
	})
	if err != nil {
		return err
	}
	for d, yes := range unnamed {
		if digits, err := hexOf(d); yes && err == nil {
			if err := s.remove(ctx, digits); err != nil {
				return err
			}
		}
	}
	return nil
}

// remove removes a content with all its names. It goes first: what is left behind by a crash is swept, and is no program.
func (s *Store) remove(ctx context.Context, digits string) error {
	lock, err := s.lock(ctx, digits)
	if err != nil {
		return err
	}
	defer lock.Release()
	if err := atomicfile.Remove(s.contentPath(digits), atomicfile.Volatile); err != nil {
		return err
	}
	return os.RemoveAll(filepath.Dir(s.contentPath(digits)))
}

// Sweep removes contents, and parts of contents, that no daemon names and that nobody asked about for as long as age.
func (s *Store) Sweep(ctx context.Context, age time.Duration) error {
	lock, err := s.lock(ctx, "records")
	if err != nil {
		return err
	}
	defer lock.Release()
	old := s.olderThan(s.dirs.Programs(), age)
	if len(old) > 0 {
		if err := s.drop(ctx, "", Record{}, old); err != nil {
			return err
		}
	}
	partials := filepath.Dir(s.partialPath("any"))
	for _, digest := range s.olderThan(partials, age) {
		if digits, err := hexOf(digest); err == nil {
			if err := s.forget(ctx, digits); err != nil {
				return err
			}
		}
	}
	return nil
}

// forget removes what came of a content, where that hasn't gone on meanwhile.
func (s *Store) forget(ctx context.Context, digits string) error {
	lock, err := s.lock(ctx, digits)
	if err != nil {
		return err
	}
	defer lock.Release()
	return atomicfile.Remove(s.partialPath(digits), atomicfile.Volatile)
}

// olderThan returns the digests that name entries of a folder which nobody touched for that long.
func (s *Store) olderThan(dir string, age time.Duration) (digests []string) {
	entries, _ := os.ReadDir(dir) // one that isn't there has none
	for _, e := range entries {
		if info, err := e.Info(); err == nil && time.Since(info.ModTime()) > age {
			if _, err := hexOf(prefix + e.Name()); err == nil {
				digests = append(digests, prefix+e.Name())
			}
		}
	}
	return digests
}

// touch says that a content was asked about.
func touch(path string) {
	now := time.Now()
	_ = os.Chtimes(path, now, now) // one that can't be touched is another account's, whose sweep is its own
}
