package systemd

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"time"

	"reconciler.dev/reconciler/internal/atomicfile"
	"reconciler.dev/reconciler/pkg/spec"
)

// note is what we know of a daemon in this boot beside its unit file: what the manager forgets, as how a daemon ended that it has collected, and what would cost a
// call each time. A lost note loses history, never a daemon.
type note struct {
	Boot string `json:"boot"`
	Unit string `json:"unit"`
	// Instance is the last one that was seen; its ID is systemd's invocation.
	Instance *spec.Instance `json:"instance,omitempty"`
	// Before are the restarts that the manager doesn't count: those before its last start job.
	Before int `json:"before,omitempty"`
	// Began is the instance that a start of ours made: nothing went over the settings of its unit then.
	Began string `json:"began,omitempty"`
	// Asked is the instance that we have asked to end.
	Asked string `json:"asked,omitempty"`
	// Guessed says that nobody saw how Instance ended, and that it can only have ended well.
	Guessed bool `json:"guessed,omitempty"`
	// Control is the digest of what SetUnitProperties left at our word.
	Control string `json:"control,omitempty"`
	// Ended is when Instance ended, since boot.
	Ended time.Duration `json:"ended,omitempty"`
}

// notes is the directory of notes, and of copies of the unit files as we wrote them.
type notes struct {
	dir  string
	boot string

	mu    sync.Mutex
	cache map[string]cachedNote
}

type cachedNote struct {
	id   fileID
	note *note
}

func (n *notes) path(name string) string { return filepath.Join(n.dir, name+".json") }

// copyPath is where the copy of the unit file is. It is what an edited or removed one is told from.
func (n *notes) copyPath(name string) string { return filepath.Join(n.dir, name+".unit") }

// read returns the note of a daemon; nil where there is none of this boot. One that can't be read says nothing, as a lost one does.
func (n *notes) read(name string) *note {
	data, id, err := readSmall(n.path(name), n.cached(name))
	if err != nil {
		return nil
	}
	n.mu.Lock()
	defer n.mu.Unlock()
	if c, ok := n.cache[name]; ok && c.id == id {
		return c.note
	}
	var found *note
	if err := json.Unmarshal(data, &found); err != nil || found.Boot != n.boot {
		found = nil
	}
	if settled(id) {
		n.cache[name] = cachedNote{id, found}
	}
	return found
}

func (n *notes) cached(name string) fileID {
	n.mu.Lock()
	defer n.mu.Unlock()
	return n.cache[name].id
}

// write makes next the note of a daemon, whose lock the caller holds.
func (n *notes) write(name string, next note) error {
	next.Boot = n.boot
	data, err := json.Marshal(next)
	if err != nil {
		return fmt.Errorf("write the note of daemon %s: %w", name, err)
	}
	return n.put(n.path(name), data)
}

// keep keeps a copy of a unit file.
func (n *notes) keep(name string, text []byte) error { return n.put(n.copyPath(name), text) }

// kept returns the copy of a unit file, nil where there is none.
func (n *notes) kept(name string) []byte {
	data, err := os.ReadFile(n.copyPath(name))
	if err != nil {
		return nil
	}
	return data
}

func (n *notes) put(path string, data []byte) error {
	err := atomicfile.Write(path, data, 0o600, atomicfile.Volatile)
	if errors.Is(err, fs.ErrNotExist) {
		if err := os.MkdirAll(n.dir, 0o700); err != nil {
			return err
		}
		err = atomicfile.Write(path, data, 0o600, atomicfile.Volatile)
	}
	return err
}

// remove forgets a daemon.
func (n *notes) remove(name string) error {
	n.mu.Lock()
	delete(n.cache, name)
	n.mu.Unlock()
	return errors.Join(atomicfile.Remove(n.path(name), atomicfile.Volatile), atomicfile.Remove(n.copyPath(name), atomicfile.Volatile))
}

// names are the daemons that have a note.
func (n *notes) names() ([]string, error) {
	entries, err := os.ReadDir(n.dir)
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return nil, err
	}
	var names []string
	for _, e := range entries {
		if name, ok := strings.CutSuffix(e.Name(), ".json"); ok && !atomicfile.IsTemp(e.Name()) {
			names = append(names, name)
		}
	}
	return names, nil
}
