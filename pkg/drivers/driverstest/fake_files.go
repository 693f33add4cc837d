package driverstest

import (
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"slices"

	"reconciler.dev/reconciler/pkg/drivers"
	"reconciler.dev/reconciler/pkg/spec"
)

// File is a file of the simulated machine.
type File struct {
	Content []byte
	Mode    spec.Mode
}

// ContentDigest is the digest by which contents are named: "sha256:" and hexadecimal digits.
func ContentDigest(content []byte) string {
	sum := sha256.Sum256(content)
	return "sha256:" + hex.EncodeToString(sum[:])
}

func fileMode(f spec.File) spec.Mode {
	if f.Mode == nil {
		return 0o644
	}
	return *f.Mode
}

func (w *world) writeFiles(d *daemon, step spec.Step) error {
	for _, f := range step.Want.Spec.Files {
		have, exists := w.files[f.Path]
		_, ours := d.owned[f.Path]
		if exists && !ours && !step.Force && ContentDigest(have.Content) != f.Digest {
			return fmt.Errorf("%s exists with other content, and it isn't ours: %w", f.Path, drivers.ErrConflict)
		}
		if _, ok := step.Want.Contents[f.Digest]; !ok {
			return fmt.Errorf("the content of %s is missing: %w", f.Path, drivers.ErrPermanent)
		}
	}
	w.removeFiles(d, step.Want.Spec.Files)
	for _, f := range step.Want.Spec.Files {
		w.files[f.Path] = File{Content: slices.Clone(step.Want.Contents[f.Digest]), Mode: fileMode(f)}
		d.owned[f.Path] = f.Digest
	}
	return nil
}

// removeFiles removes the files that d wrote and that aren't in keep, except those that somebody changed.
func (w *world) removeFiles(d *daemon, keep []spec.File) {
	for path, digest := range d.owned {
		if slices.ContainsFunc(keep, func(f spec.File) bool { return f.Path == path }) {
			continue
		}
		if have, ok := w.files[path]; ok && ContentDigest(have.Content) == digest {
			delete(w.files, path)
		}
		delete(d.owned, path)
	}
}

func (w *world) fileDrift(want []spec.File) (drift []spec.Drift) {
	for _, f := range want {
		field := "spec.files[" + f.Path + "]"
		have, ok := w.files[f.Path]
		switch got := ContentDigest(have.Content); {
		case !ok:
			drift = append(drift, spec.Drift{Field: field + ".content", Want: f.Digest, Have: "missing", Class: spec.Reloaded})
		case got != f.Digest:
			drift = append(drift, spec.Drift{Field: field + ".content", Want: f.Digest, Have: got, Class: spec.Reloaded})
		case have.Mode != fileMode(f):
			drift = append(drift, spec.Drift{Field: field + ".mode", Want: fileMode(f).String(), Have: have.Mode.String(), Class: spec.Reloaded})
		}
	}
	return drift
}
