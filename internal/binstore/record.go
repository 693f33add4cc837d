package binstore

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"reconciler.dev/reconciler/internal/atomicfile"
)

// Record is what the store remembers of one daemon. It is kept in State/programs/NAME.json.
type Record struct {
	// Now is the digest of the program that was placed last; Before are those before it, the newest first.
	Now    string   `json:"now,omitempty"`
	Before []string `json:"before,omitempty"`
	// Put has the paths outside of the store where we may have written a program, with the digests of all that may stand there.
	Put map[string][]string `json:"put,omitempty"`
	// Seen are the files that were placed last, the newest first, so that to look at one again costs no reading.
	Seen []Seen `json:"seen,omitempty"`
}

// Seen is the digest of a file's content.
type Seen struct {
	Identity Identity `json:"identity"`
	Digest   string   `json:"digest"`
}

// Names tells whether the record names a digest.
func (r *Record) Names(digest string) bool {
	return r.Now == digest || slices.Contains(r.Before, digest)
}

// Wrote tells whether we may have written a content of that digest to path.
func (r *Record) Wrote(path, digest string) bool { return slices.Contains(r.Put[path], digest) }

// mostSeen is how many files are known by their identity: what runs may be one that was placed before.
const mostSeen = 8

// see notes what was placed.
func (r *Record) see(s Seen) {
	r.Seen = slices.DeleteFunc(r.Seen, func(old Seen) bool { return old.Identity == s.Identity })
	r.Seen = slices.Insert(r.Seen, 0, s)
	r.Seen = r.Seen[:min(len(r.Seen), mostSeen)]
}

// claim notes that a program is about to be placed, at path or, where that is empty, in the store alone. No digest says that none is wanted.
func (r *Record) claim(digest, path string) {
	if r.Now != digest {
		r.Before = slices.DeleteFunc(r.Before, func(d string) bool { return d == digest || d == r.Now })
		if r.Now != "" {
			r.Before = slices.Insert(r.Before, 0, r.Now)
		}
		r.Now = digest
	}
	if path != "" && !r.Wrote(path, digest) {
		if r.Put == nil {
			r.Put = map[string][]string{}
		}
		r.Put[path] = append(r.Put[path], digest)
	}
}

func (s *Store) recordPath(daemon string) string {
	return filepath.Join(s.dirs.State, "programs", daemon+".json")
}

// Record returns what is remembered of a daemon; the empty one where nothing is.
func (s *Store) Record(daemon string) (Record, error) { return readRecord(s.recordPath(daemon)) }

func readRecord(path string) (r Record, err error) {
	text, err := os.ReadFile(path)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return Record{}, nil
	case err != nil:
		return Record{}, err
	}
	if err := json.Unmarshal(text, &r); err != nil {
		return Record{}, fmt.Errorf("%s is damaged (%w): remove it to go on; programs that it named then need --force", path, err)
	}
	return r, nil
}

// keep remembers r, where that isn't remembered already.
func (s *Store) keep(daemon string, r Record, d atomicfile.Durability) error {
	path := s.recordPath(daemon)
	if r.Now == "" && len(r.Before) == 0 && len(r.Put) == 0 {
		return atomicfile.Remove(path, d)
	}
	text, err := json.Marshal(r)
	if err != nil {
		return err
	}
	return atomicfile.Keep(path, text, d)
}

// others calls yield with the records of all daemons but one, until it returns false.
func (s *Store) others(daemon string, yield func(name string, r Record) bool) error {
	entries, err := os.ReadDir(filepath.Dir(s.recordPath("any")))
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	for _, e := range entries {
		name, ok := strings.CutSuffix(e.Name(), ".json")
		if !ok || name == daemon || atomicfile.IsTemp(e.Name()) {
			continue
		}
		r, err := readRecord(s.recordPath(name))
		if err != nil {
			return err
		}
		if !yield(name, r) {
			return nil
		}
	}
	return nil
}
