package local

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"sync"
	"time"

	"reconciler.dev/reconciler/internal/filewatch"
	"reconciler.dev/reconciler/pkg/spec"
)

// maxEvents is the size at which the file of events becomes the old one, and the old one goes.
const maxEvents = 1 << 20

// eventLog is the file of events: a JSON object a line, each written at once, so that several processes may append.
type eventLog struct {
	dir string
	mu  sync.Mutex
}

func (l *eventLog) path() string { return filepath.Join(l.dir, "events.ndjson") }
func (l *eventLog) old() string  { return filepath.Join(l.dir, "events.old.ndjson") }

// Record appends an event. What can't be written is lost: events are an aid to people.
func (h *Host) Record(e spec.Event) {
	b, err := json.Marshal(e)
	if err != nil {
		return
	}
	h.events.append(append(b, '\n'))
}

func (l *eventLog) append(line []byte) {
	l.mu.Lock()
	defer l.mu.Unlock()
	f, err := os.OpenFile(l.path(), os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600)
	if errors.Is(err, fs.ErrNotExist) {
		if os.MkdirAll(l.dir, 0o700) == nil {
			f, err = os.OpenFile(l.path(), os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600)
		}
	}
	if err != nil {
		return
	}
	defer f.Close()
	_, _ = f.Write(line)
	if info, err := f.Stat(); err == nil && info.Size() > maxEvents {
		_ = os.Rename(l.path(), l.old())
	}
}

// Events yields what was recorded since then, oldest first, and with follow goes on until ctx ends or yield returns false.
func (h *Host) Events(ctx context.Context, since time.Time, follow bool, yield func(spec.Event) bool) error {
	more := true
	give := func(e spec.Event) bool {
		if !e.At.Before(since) {
			more = yield(e)
		}
		return more
	}
	if err := eachEvent(h.events.old(), 0, nil, give); err != nil || !more {
		return err
	}
	var r follower
	if err := r.read(h.events.path(), give); err != nil || !follow || !more {
		return err
	}
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	var failed error
	w := filewatch.New(filewatch.Options{Roots: []string{h.events.path()}, Match: func(string) bool { return true }, Quiet: time.Millisecond})
	err := w.Run(ctx, func() {
		if failed = r.read(h.events.path(), give); failed != nil || !more {
			cancel()
		}
	})
	if failed != nil || !more {
		return failed
	}
	return err
}

// follower reads a file of events on from where it was, also when another file has taken its place.
type follower struct {
	at   int64
	file os.FileInfo
}

func (r *follower) read(path string, yield func(spec.Event) bool) error {
	info, err := os.Stat(path)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return err
	}
	if r.file == nil || !os.SameFile(r.file, info) {
		r.at, r.file = 0, info
	}
	return eachEvent(path, r.at, &r.at, yield)
}

// eachEvent yields the events of a file from an offset on, and moves *at behind the last whole line.
func eachEvent(path string, from int64, at *int64, yield func(spec.Event) bool) error {
	f, err := os.Open(path)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return fmt.Errorf("read events: %w", err)
	}
	defer f.Close()
	if _, err := f.Seek(from, io.SeekStart); err != nil {
		return fmt.Errorf("read events: %w", err)
	}
	lines := bufio.NewReader(f)
	for {
		line, err := lines.ReadBytes('\n')
		if err == io.EOF {
			return nil // what is left has no end yet
		}
		if err != nil {
			return fmt.Errorf("read events: %w", err)
		}
		if at != nil {
			*at += int64(len(line))
		}
		var e spec.Event
		if json.Unmarshal(line, &e) == nil && !yield(e) {
			return nil
		}
	}
}
