package local

import (
	"bytes"
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"

	"reconciler.dev/reconciler/internal/atomicfile"
	"reconciler.dev/reconciler/pkg/spec"
)

// historyLimit is how many revisions of a daemon are kept.
const historyLimit = 10

func (h *Host) statusPath(name string) string {
	return filepath.Join(h.dirs.Run, "status", name+".json")
}

// Statuses returns what the last looks came to; of all daemons where no names are given. One that can't be read is left out: it says only what was.
func (h *Host) Statuses(_ context.Context, names ...string) (map[string]spec.Status, error) {
	if len(names) == 0 {
		found, err := os.ReadDir(filepath.Join(h.dirs.Run, "status"))
		if err != nil && !errors.Is(err, fs.ErrNotExist) {
			return nil, err
		}
		for _, f := range found {
			if name, ok := strings.CutSuffix(f.Name(), ".json"); ok {
				names = append(names, name)
			}
		}
	}
	statuses := make(map[string]spec.Status, len(names))
	for _, name := range names {
		var s spec.Status
		if b, err := os.ReadFile(h.statusPath(name)); err == nil && json.Unmarshal(b, &s) == nil {
			statuses[name] = s
		}
	}
	return statuses, nil
}

// SetStatus keeps a status until the next reboot, or forgets it where it says nothing.
func (h *Host) SetStatus(_ context.Context, s spec.Status) error {
	if len(s.Conditions) == 0 {
		return atomicfile.Remove(h.statusPath(s.Name), atomicfile.Volatile)
	}
	b, err := json.Marshal(s)
	if err != nil {
		return err
	}
	return h.write(h.statusPath(s.Name), b, atomicfile.Volatile)
}

// write writes a file, and makes its directory where there is none yet.
func (h *Host) write(path string, b []byte, d atomicfile.Durability) error {
	err := atomicfile.Write(path, b, 0o600, d)
	if !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	if err := atomicfile.MkdirAll(filepath.Dir(path), 0o700, d); err != nil {
		return err
	}
	return atomicfile.Write(path, b, 0o600, d)
}

func (h *Host) historyDir(name string) string { return filepath.Join(h.dirs.State, "history", name) }

// History returns the revisions that are kept of a daemon, oldest first.
func (h *Host) History(_ context.Context, name string) ([]spec.Revision, error) { return h.past(name) }

func (h *Host) past(name string) ([]spec.Revision, error) {
	gens, err := h.generations(name)
	if err != nil {
		return nil, err
	}
	var past []spec.Revision
	for _, g := range gens {
		r, err := h.revision(name, g)
		if err != nil {
			return nil, err
		}
		if r != nil {
			past = append(past, *r)
		}
	}
	return past, nil
}

// revision reads one revision, nil where it was forgotten meanwhile.
func (h *Host) revision(name string, generation int64) (*spec.Revision, error) {
	b, err := os.ReadFile(h.revisionPath(name, generation))
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	r := &spec.Revision{}
	if err == nil {
		err = json.Unmarshal(b, r)
	}
	if err != nil {
		return nil, fmt.Errorf("read revision %d of daemon %s: %w; remove %s to go on without it", generation, name, err, h.revisionPath(name, generation))
	}
	return r, nil
}

// Archive keeps a revision in the place of the one of its generation, durably, and forgets the oldest beyond the limit. It forgets those as well that a daemon left that had the name before
// this one was made, and was deleted: generations begin anew then.
func (h *Host) Archive(_ context.Context, r spec.Revision) error {
	if err := h.archive(r); err != nil {
		return fmt.Errorf("archive generation %d of daemon %s: %w", r.Generation, r.Name, err)
	}
	return nil
}

func (h *Host) archive(r spec.Revision) error {
	if old, err := h.revision(r.Name, r.Generation); err == nil && old != nil {
		r.Ready = r.Ready || old.StillReady(r)
	}
	b, err := json.Marshal(r)
	if err != nil {
		return err
	}
	path := h.revisionPath(r.Name, r.Generation)
	if have, err := os.ReadFile(path); err == nil && bytes.Equal(have, b) {
		return nil
	}
	if err := h.write(path, b, atomicfile.Durable); err != nil {
		return err
	}
	gens, err := h.generations(r.Name)
	if err != nil {
		return err
	}
	past, err := h.earlierLife(r, gens)
	if err != nil {
		return err
	}
	gens = slices.DeleteFunc(gens, func(g int64) bool { return slices.Contains(past, g) })
	past = append(past, h.surplus(r.Name, gens)...)
	var dropped []spec.File
	for _, g := range past {
		if old, err := h.revision(r.Name, g); err == nil && old != nil {
			dropped = append(dropped, old.Spec.Files...)
		}
		if err := atomicfile.Remove(h.revisionPath(r.Name, g), atomicfile.Volatile); err != nil {
			return err
		}
	}
	if len(dropped) > 0 {
		return h.sweepContents(dropped)
	}
	return nil
}

// earlierLife are the generations above that of r which were applied before it.
func (h *Host) earlierLife(r spec.Revision, gens []int64) (past []int64, err error) {
	for _, g := range gens {
		if g <= r.Generation {
			continue
		}
		switch later, err := h.revision(r.Name, g); {
		case err != nil:
			return nil, err
		case later != nil && later.AppliedAt.Before(r.AppliedAt):
			past = append(past, g)
		}
	}
	return past, nil
}

// surplus are the oldest of gens beyond the limit; the last one that didn't fail isn't among them, because that is what is gone back to.
func (h *Host) surplus(name string, gens []int64) []int64 {
	over := len(gens) - historyLimit
	if over <= 0 {
		return nil
	}
	good := len(gens) - 1
	for good >= 0 && !h.isGood(name, gens[good]) {
		good--
	}
	if good < 0 || good >= over {
		return gens[:over]
	}
	return slices.Delete(slices.Clone(gens[:over+1]), good, good+1)
}

// isGood says of a revision that it can be read and didn't fail.
func (h *Host) isGood(name string, generation int64) bool {
	r, err := h.revision(name, generation)
	return err == nil && r != nil && r.Failed == ""
}

func (h *Host) revisionPath(name string, generation int64) string {
	return filepath.Join(h.historyDir(name), strconv.FormatInt(generation, 10)+".json")
}

// generations lists the generations that are kept, in order.
func (h *Host) generations(name string) ([]int64, error) {
	found, err := os.ReadDir(h.historyDir(name))
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return nil, err
	}
	var gens []int64
	for _, f := range found {
		stem, ok := strings.CutSuffix(f.Name(), ".json")
		if g, err := strconv.ParseInt(stem, 10, 64); ok && err == nil {
			gens = append(gens, g)
		}
	}
	slices.SortFunc(gens, cmp.Compare)
	return gens, nil
}
