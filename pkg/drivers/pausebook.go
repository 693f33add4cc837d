package drivers

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"runtime"
	"sync"

	"reconciler.dev/reconciler/internal/atomicfile"
	"reconciler.dev/reconciler/internal/layout"
	"reconciler.dev/reconciler/pkg/spec"
)

// pauseBook is a file like State/paused.json: which daemons users stopped, or whose rollout they stopped. It is one file, and edits that wait for the disk at the same time are written together, so
// that a stop of 500 daemons costs a few flushes of the disk and not two for each.
type pauseBook struct {
	dirs layout.Dirs
	file string

	mu      sync.Mutex
	text    []byte                // the file as it was read last
	paused  map[string]spec.Pause // what it says; never changed, only replaced
	waiting []*pauseEdit
	writing bool // somebody writes, and will see to those who wait
}

// pauseEdit is a pause to remember, or with nil to forget.
type pauseEdit struct {
	name  string
	pause *spec.Pause
	done  chan error
}

// The books. Their locks among those of LockName have the same name with a slash before it, and so no name of a daemon.
const (
	pausedBook = "paused"
	heldBook   = "held"
)

func (b *pauseBook) path() string { return filepath.Join(b.dirs.State, b.file+".json") }

// read returns who is paused. The map is not to be changed.
func (b *pauseBook) read() (map[string]spec.Pause, error) {
	text, err := os.ReadFile(b.path())
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, fmt.Errorf("look for %s daemons: %w", b.file, err)
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.paused != nil && bytes.Equal(text, b.text) {
		return b.paused, nil
	}
	paused := map[string]spec.Pause{}
	if err := json.Unmarshal(text, &paused); err != nil {
		return nil, fmt.Errorf("look for %s daemons: read %s: %w; until it is put right all daemons count as %[1]s, and without the file none does", b.file, b.path(), err)
	}
	b.text, b.paused = text, paused
	return paused, nil
}

// set remembers or forgets a pause and returns when that is on the disk. A pause that is there already stays as it is. The caller holds the lock of the name. Whether there is
// anything to do the writer finds out, who reads the book once for all.
func (b *pauseBook) set(ctx context.Context, name string, pause *spec.Pause) error {
	if pause == nil {
		if _, err := os.Lstat(b.path()); errors.Is(err, fs.ErrNotExist) {
			return nil
		}
	}
	e := &pauseEdit{name, pause, make(chan error, 1)}
	b.mu.Lock()
	b.waiting = append(b.waiting, e)
	lead := !b.writing
	b.writing = true
	b.mu.Unlock()
	if lead {
		b.work(ctx)
	}
	return <-e.done
}

// work writes the edits that wait, and those that came meanwhile, until there are none.
func (b *pauseBook) work(ctx context.Context) {
	for {
		runtime.Gosched() // those who are about to edit join in
		b.mu.Lock()
		edits := b.waiting
		b.waiting, b.writing = nil, len(edits) > 0
		b.mu.Unlock()
		if len(edits) == 0 {
			return
		}
		err := b.write(ctx, edits)
		for _, e := range edits {
			e.done <- err
		}
	}
}

func (b *pauseBook) write(ctx context.Context, edits []*pauseEdit) error {
	lock, err := LockName(ctx, b.dirs, "/"+b.file)
	if err != nil {
		return err
	}
	defer lock.Release()
	was, err := b.read()
	if err != nil {
		return err
	}
	paused := make(map[string]spec.Pause, len(was)+len(edits))
	maps.Copy(paused, was)
	changed := false
	for _, e := range edits {
		switch _, there := paused[e.name]; {
		case there == (e.pause != nil):
			continue
		case there:
			delete(paused, e.name)
		default:
			paused[e.name] = *e.pause
		}
		changed = true
	}
	if !changed {
		return nil
	}
	if len(paused) == 0 {
		return atomicfile.Remove(b.path(), atomicfile.Durable)
	}
	text, err := json.Marshal(paused)
	if err != nil {
		return err
	}
	if err := atomicfile.MkdirAll(b.dirs.State, 0o711, atomicfile.Durable); err != nil {
		return err
	}
	return atomicfile.Write(b.path(), text, 0o600, atomicfile.Durable)
}
