package drivers

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"path/filepath"
	"slices"

	"reconciler.dev/reconciler/internal/atomicfile"
	"reconciler.dev/reconciler/internal/layout"
	"reconciler.dev/reconciler/pkg/spec"
)

// files writes daemons' config files, tells when somebody else changed them, and removes what it wrote. It never writes through a symbolic link, never
// over a file that it didn't write unless the step forces it, and never removes one that somebody changed.
type files struct {
	driver Driver
	dirs   layout.Dirs
	cache  *fileCache
}

func newFiles(d Driver, dirs layout.Dirs) *files {
	return &files{d, dirs, &fileCache{known: map[string]lookedAt{}}}
}

// addDrift adds the drift of config files.
func (f *files) addDrift(found []spec.Observed) {
	for i := range found {
		o := &found[i]
		if o.Stamp != nil && len(o.Stamp.Spec.Files) > 0 {
			o.Drift = append(slices.Clip(o.Drift), f.drift(o.Stamp.Spec.Files)...)
		}
	}
}

func (f *files) drift(want []spec.File) (drift []spec.Drift) {
	for _, w := range want {
		field := "spec.files[" + w.Path + "]"
		switch have := f.cache.look(w.Path); {
		case have.what() != "":
			drift = append(drift, spec.Drift{Field: field + ".content", Want: w.Digest, Have: have.what(), Class: spec.Reloaded})
		case have.digest != w.Digest:
			drift = append(drift, spec.Drift{Field: field + ".content", Want: w.Digest, Have: have.digest, Class: spec.Reloaded})
		case have.mode != fileMode(w):
			drift = append(drift, spec.Drift{Field: field + ".mode", Want: fileMode(w).String(), Have: have.mode.String(), Class: spec.Reloaded})
		}
	}
	return drift
}

// permanent says of an error that another try can't help where that is so.
func permanent(err error) error {
	if errors.Is(err, fs.ErrPermission) {
		return fmt.Errorf("%w (%w)", err, ErrPermanent)
	}
	return err
}

// write makes the files as step wants them. What it is about to own is recorded first, so that a crash can't turn our own file into a stranger's.
func (f *files) write(_ context.Context, step spec.Step, o spec.Observed) error {
	return permanent(f.writeAll(step, o))
}

func (f *files) writeAll(step spec.Step, o spec.Observed) error {
	switch {
	case o.State == spec.Unknown:
		return fmt.Errorf("it can't be looked at: %s: %w", o.Message, ErrMoved)
	case o.Foreign != "":
		return fmt.Errorf("the name is taken by %s, which carries no stamp of ours: %w", o.Foreign, ErrConflict)
	}
	if err := CheckInstance(step, o); err != nil {
		return err
	}
	owned, err := f.owned(o)
	if err != nil {
		return err
	}
	todo, err := f.compare(step, owned)
	if err != nil {
		return err
	}
	during, final := owned, ownership{}
	for _, w := range step.Want.Spec.Files {
		final.add(w.Path, w.Digest)
		during.add(w.Path, w.Digest)
	}
	if err := f.record(step.Name, during); err != nil {
		return err
	}
	for _, w := range todo {
		if err := atomicfile.MkdirAll(filepath.Dir(w.file.Path), 0o755, atomicfile.Durable); err != nil {
			return err
		}
		content := step.Want.Contents[w.file.Digest]
		if err := atomicfile.WriteOwned(w.file.Path, content, chmod(fileMode(w.file)), w.owner, atomicfile.Durable); err != nil {
			return err
		}
	}
	for path, digests := range during {
		if _, stays := final[path]; !stays {
			if err := f.removeUnchanged(step.Name, path, digests); err != nil {
				return err
			}
		}
	}
	return f.record(step.Name, final)
}

type wantedFile struct {
	file  spec.File
	owner atomicfile.Owner
}

// compare returns what must be written, or every conflict there is before anything is.
func (f *files) compare(step spec.Step, owned ownership) (todo []wantedFile, err error) {
	owner, err := ownerOf(step.Want.Spec)
	if err != nil {
		return nil, err
	}
	var conflicts []error
	for _, w := range step.Want.Spec.Files {
		if _, ok := step.Want.Contents[w.Digest]; !ok {
			return nil, fmt.Errorf("the content of %s (%s) isn't at hand: %w", w.Path, w.Digest, ErrPermanent)
		}
		have := f.cache.look(w.Path)
		switch {
		case have.err != nil:
			return nil, have.err
		case have.digest == w.Digest && have.mode == fileMode(w) && owns(owner, have.info):
			continue
		case have.info != nil && have.info.IsDir():
			conflicts = append(conflicts, fmt.Errorf("%s is a directory: %w", w.Path, ErrConflict))
		case have.exists() && have.digest != w.Digest && !owned.has(w.Path) && !step.Force:
			conflicts = append(conflicts, fmt.Errorf("%s is there already, %s, and isn't ours: move it away or use --force: %w", w.Path, have.describe(), ErrConflict))
		}
		todo = append(todo, wantedFile{w, owner})
	}
	return todo, errors.Join(conflicts...)
}

// clear removes the files of a daemon that is removed.
func (f *files) clear(step spec.Step, o spec.Observed) error { return permanent(f.clearAll(step, o)) }

func (f *files) clearAll(step spec.Step, o spec.Observed) error {
	owned, err := f.owned(o)
	if err != nil {
		return err
	}
	for path, digests := range owned {
		if err := f.removeUnchanged(step.Name, path, digests); err != nil {
			return err
		}
	}
	return f.record(step.Name, nil)
}

// removeUnchanged removes a file that still holds what we wrote and that no other daemon wants.
func (f *files) removeUnchanged(name, path string, digests []string) error {
	have := f.cache.look(path)
	if !have.exists() || !slices.Contains(digests, have.digest) {
		return nil
	}
	shared, err := f.ownedByAnother(name, path)
	if err != nil || shared {
		return err
	}
	return atomicfile.Remove(path, atomicfile.Durable)
}
