package local

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"time"

	"github.com/fsnotify/fsnotify"

	"reconciler.dev/reconciler/internal/flock"
	"reconciler.dev/reconciler/internal/plainfile"
	"reconciler.dev/reconciler/pkg/spec"
)

// maxEvents is the size at which the file of events becomes the old one, and the old one goes.
const maxEvents = 1 << 20

// eventLog is the file of events: a JSON object a line, each written at once, so that several processes may append. The file before it is kept, too.
type eventLog struct {
	dir  string // where the files are
	lock string // of those who exchange them
}

func (l eventLog) path() string { return filepath.Join(l.dir, "events.ndjson") }
func (l eventLog) old() string  { return filepath.Join(l.dir, "events.old.ndjson") }

// Record appends an event. What can't be written is lost: events are an aid to people.
func (h *Host) Record(e spec.Event) {
	b, err := json.Marshal(e)
	if err != nil {
		return
	}
	h.events.append(append(b, '\n'))
}

func (l eventLog) append(line []byte) {
	const flags = os.O_CREATE | os.O_APPEND | os.O_WRONLY
	f, err := plainfile.Open(l.path(), flags, 0o600)
	if errors.Is(err, fs.ErrNotExist) && os.MkdirAll(l.dir, 0o700) == nil {
		f, err = plainfile.Open(l.path(), flags, 0o600)
	}
	if err != nil {
		return
	}
	defer f.Close()
	_, _ = f.Write(line)
	if info, err := f.Stat(); err == nil && info.Size() > maxEvents {
		l.exchange(info)
	}
}

// exchange makes the file that full tells of the old one, unless somebody else did.
func (l eventLog) exchange(full fs.FileInfo) {
	if os.MkdirAll(filepath.Dir(l.lock), 0o700) != nil {
		return
	}
	lock, err := flock.TryLock(l.lock)
	if err != nil {
		return // another process is about to do it, or the next event will try again
	}
	defer lock.Release()
	if now, err := os.Stat(l.path()); err == nil && os.SameFile(now, full) {
		_ = os.Rename(l.path(), l.old())
	}
}

// Events yields what was recorded since then, oldest first; what happened several times is one event, at its last time, with a Count. With follow it goes on with each
// event as it happens, until ctx ends or yield returns false.
func (h *Host) Events(ctx context.Context, since time.Time, follow bool, yield func(spec.Event) bool) error {
	r := eventReader{log: h.events}
	defer r.close()
	if follow {
		return r.follow(ctx, since, yield)
	}
	_, err := r.past(since, yield)
	return err
}

// past yields what there is, and says whether yield wants more.
func (r *eventReader) past(since time.Time, yield func(spec.Event) bool) (bool, error) {
	past, err := r.read(since)
	if err != nil {
		return false, err
	}
	return yieldAll(aggregate(past), yield), nil
}

func yieldAll(events []spec.Event, yield func(spec.Event) bool) bool {
	for _, e := range events {
		if !yield(e) {
			return false
		}
	}
	return true
}

func (r *eventReader) follow(ctx context.Context, since time.Time, yield func(spec.Event) bool) error {
	watcher, err := fsnotify.NewWatcher()
	if err != nil {
		return fmt.Errorf("watch events: %w", err)
	}
	defer watcher.Close()
	if err = os.MkdirAll(r.log.dir, 0o700); err == nil {
		err = watcher.Add(r.log.dir) // before the first read, so that nothing falls between
	}
	if err != nil {
		return fmt.Errorf("watch events: %w", err)
	}
	more, err := r.past(since, yield)
	for more && err == nil {
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-watcher.Events: // of whatever file: what was read is read on from
		case err := <-watcher.Errors:
			if !errors.Is(err, fsnotify.ErrEventOverflow) {
				return fmt.Errorf("watch events: %w", err)
			}
		}
		var events []spec.Event
		events, err = r.read(since)
		more = yieldAll(events, yield)
	}
	return err
}

// aggregate makes one event of those that say the same of the same daemon. They are in the order of their last times.
func aggregate(all []spec.Event) []spec.Event {
	type what struct{ name, kind, reason, message string }
	type sum struct {
		count int
		first time.Time
	}
	seen := map[what]sum{}
	var last []spec.Event // the last of each, the latest first
	for _, e := range slices.Backward(all) {
		k := what{e.Name, e.Type, e.Reason, e.Message}
		s, again := seen[k]
		seen[k] = sum{s.count + 1, e.At}
		if !again {
			last = append(last, e)
		}
	}
	slices.Reverse(last)
	for i := range last {
		if s := seen[what{last[i].Name, last[i].Type, last[i].Reason, last[i].Message}]; s.count > 1 {
			last[i].Count, last[i].First = s.count, s.first
		}
	}
	return last
}

// eventReader reads the files of events on from where it was.
type eventReader struct {
	log  eventLog
	now  *eventFile // the newest file that was seen; nil before the first
	last *eventFile // the one before it: whoever opened it before the exchange may still write to it
}

// eventFile is a file of events that is read on from where it was.
type eventFile struct {
	f    *os.File
	rest []byte // the beginning of a line whose end isn't there yet
}

func (r *eventReader) close() {
	r.now.close()
	r.last.close()
}

func (e *eventFile) close() {
	if e != nil {
		e.f.Close()
	}
}

// read returns the events that came since the last read, those in the older file first.
func (r *eventReader) read(since time.Time) (events []spec.Event, err error) {
	if r.now == nil {
		f, err := os.Open(r.log.old())
		if err == nil {
			r.now = &eventFile{f: f}
		} else if !errors.Is(err, fs.ErrNotExist) {
			return nil, fmt.Errorf("read events: %w", err)
		}
	}
	for {
		for _, file := range []*eventFile{r.last, r.now} {
			more, err := file.read(since)
			if err != nil {
				return nil, err
			}
			events = append(events, more...)
		}
		next, err := r.next()
		if err != nil || next == nil {
			return events, err
		}
		r.last.close()
		r.last, r.now = r.now, &eventFile{f: next}
	}
}

// read returns the events that came since the last read of e, which may be nil.
func (e *eventFile) read(since time.Time) ([]spec.Event, error) {
	if e == nil {
		return nil, nil
	}
	text, err := io.ReadAll(e.f)
	if err != nil {
		return nil, fmt.Errorf("read events: %w", err)
	}
	return e.parse(text, since), nil
}

// next opens the file after the one that is being read, or returns nil where that is the last one.
func (r *eventReader) next() (*os.File, error) {
	f, err := os.Open(r.log.path())
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, fmt.Errorf("read events: %w", err)
	}
	if r.now == nil {
		return f, nil
	}
	now, err := f.Stat()
	if err == nil {
		var before fs.FileInfo
		if before, err = r.now.f.Stat(); err == nil && !os.SameFile(before, now) {
			return f, nil
		}
	}
	return nil, errors.Join(err, f.Close())
}

// parse returns the events in whole lines. A line that is none is passed over: a power cut may leave anything.
func (e *eventFile) parse(text []byte, since time.Time) (events []spec.Event) {
	e.rest = append(e.rest, text...)
	for {
		line, rest, whole := bytes.Cut(e.rest, []byte("\n"))
		if !whole {
			return events
		}
		e.rest = rest
		var ev spec.Event
		if json.Unmarshal(line, &ev) == nil && !ev.At.Before(since) {
			events = append(events, ev)
		}
	}
}
