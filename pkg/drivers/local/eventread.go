package local

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"time"

	"github.com/fsnotify/fsnotify"

	"reconciler.dev/reconciler/pkg/spec"
)

// Events yields what was recorded since then, oldest first; what happened several times is one event, at its last time, with a Count. With follow it goes on with each
// event as it happens, and tells with each how often that happened since then, until ctx ends or yield returns false.
func (h *Host) Events(ctx context.Context, since time.Time, follow bool, yield func(spec.Event) bool) error {
	h.events.settle()
	r := eventReader{path: h.events.path, since: since, seen: newTally()}
	defer r.close()
	if follow {
		return r.follow(ctx, yield)
	}
	_, err := r.past(yield)
	return err
}

// eventReader reads the file of events on from where it was.
type eventReader struct {
	path  string
	since time.Time
	f     *os.File // nil while there is none
	rest  []byte   // the beginning of a line whose end isn't there yet
	seen  *tally
}

func (r *eventReader) close() {
	if r.f != nil {
		r.f.Close()
	}
}

// past yields what there is, and says whether yield wants more.
func (r *eventReader) past(yield func(spec.Event) bool) (bool, error) {
	if err := r.open(); err != nil {
		return false, err
	}
	if _, err := r.read(); err != nil {
		return false, err
	}
	return yieldAll(r.seen.sum(), yield), nil
}

func yieldAll(events []spec.Event, yield func(spec.Event) bool) bool {
	for _, e := range events {
		if !yield(e) {
			return false
		}
	}
	return true
}

// lookUnwatched is how often events are looked for where nobody tells of them, as where a user has no inotify instance left.
const lookUnwatched = 250 * time.Millisecond

func (r *eventReader) follow(ctx context.Context, yield func(spec.Event) bool) error {
	var told chan fsnotify.Event
	var tick <-chan time.Time
	dir := filepath.Dir(r.path)
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return fmt.Errorf("watch events: %w", err)
	}
	watcher, err := fsnotify.NewWatcher()
	if err == nil {
		defer watcher.Close()
		err = watcher.Add(dir) // before the first read, so that nothing falls between
		told = watcher.Events
	}
	if err != nil {
		t := time.NewTicker(lookUnwatched)
		defer t.Stop()
		watcher, told, tick = &fsnotify.Watcher{}, nil, t.C
	}
	more, err := r.past(yield)
	for more && err == nil {
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-tick:
		case e := <-told:
			if e.Name != r.path {
				continue
			}
		case err := <-watcher.Errors:
			if !errors.Is(err, fsnotify.ErrEventOverflow) {
				return fmt.Errorf("watch events: %w", err)
			}
		}
		var news []spec.Event
		news, err = r.news()
		more = yieldAll(news, yield)
	}
	return err
}

// news returns what happened since the last call. Where the file was compacted meanwhile what it says now is held against what was seen, so nothing is told twice.
func (r *eventReader) news() ([]spec.Event, error) {
	before, err := r.read()
	if err != nil || !r.replaced() {
		return before, err
	}
	last, err := r.read() // what was written until it was replaced; nothing is any more
	if before = append(before, last...); err != nil {
		return before, err
	}
	r.close()
	r.f, r.rest = nil, nil
	seen := r.seen
	r.seen = newTally()
	if err = r.open(); err == nil {
		_, err = r.read()
	}
	return append(before, r.seen.since(seen)...), err
}

// open opens the file that is there now, if there is one.
func (r *eventReader) open() error {
	f, err := os.Open(r.path)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return fmt.Errorf("read events: %w", err)
	}
	r.f = f
	return nil
}

// replaced says whether there is another file now than the one that is being read.
func (r *eventReader) replaced() bool {
	now, err := os.Stat(r.path)
	if err != nil {
		return false // it will be there again, or there is nothing to read
	}
	if r.f == nil {
		return true
	}
	mine, err := r.f.Stat()
	return err == nil && !os.SameFile(mine, now)
}

// read counts the events that came since the last read, and returns each as it came.
func (r *eventReader) read() ([]spec.Event, error) {
	if r.f == nil {
		return nil, nil
	}
	text, err := io.ReadAll(r.f)
	if err != nil {
		return nil, fmt.Errorf("read events: %w", err)
	}
	r.rest = append(r.rest, text...)
	events, whole := parse(r.rest, r.since)
	r.rest = bytes.Clone(r.rest[whole:])
	for i, e := range events {
		events[i] = r.seen.add(e)
	}
	return events, nil
}
