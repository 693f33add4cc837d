package local

import (
	"encoding/json"
	"errors"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"time"

	"reconciler.dev/reconciler/internal/atomicfile"
	"reconciler.dev/reconciler/internal/flock"
	"reconciler.dev/reconciler/internal/plainfile"
	"reconciler.dev/reconciler/pkg/spec"
)

const (
	// maxEvents is the size at which the file of events is compacted, to keptEvents at most. It never has more than twice that.
	maxEvents  = 1 << 20
	keptEvents = maxEvents / 2
	// maxEventText is how long a message of an event may be.
	maxEventText = 4 << 10
	// compactAgain is how long after a compaction that failed another one is tried.
	compactAgain = 30 * time.Second
	// patience is how long who compacts waits for those who write, and who ends for one who compacts.
	patience = time.Second
)

// eventLog is the file of events: a JSON object a line. Several processes append to it at a time, each under a shared lock on the file, and whoever finds it too long puts a shorter one
// in its place, under the lock alone: so every line is in the file that readers had, or in the one that they find.
type eventLog struct {
	path string

	mu    sync.Mutex
	pace  pace
	timer *time.Timer // for what waits; nil where nothing does
	// queue is what is to be written now: whoever finds nobody writing writes all of it, and the others go on. written is told when nobody writes any more.
	queue   []spec.Event
	writing bool
	written *sync.Cond
	// compacting is set while this process compacts; notBefore is when it may again.
	compacting bool
	notBefore  time.Time
	done       sync.WaitGroup
}

func newEventLog(dir string) *eventLog {
	l := &eventLog{path: filepath.Join(dir, "events.ndjson"), pace: newPace()}
	l.written = sync.NewCond(&l.mu)
	return l
}

// Record appends an event, without waiting for anybody. What can't be written is lost: events are an aid to people. Of a daemon to which very much happens what is alike is counted, and
// written once a second.
func (h *Host) Record(e spec.Event) { h.events.record(e, time.Now()) }

func (l *eventLog) record(e spec.Event, now time.Time) {
	if len(e.Message) > maxEventText {
		e.Message = strings.ToValidUTF8(e.Message[:maxEventText], "") + "…"
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.pace.take(e, now) {
		l.queue = append(l.queue, e)
		l.drain()
	} else {
		l.pace.keep(e)
	}
	l.wake()
}

// drain writes what is queued, unless somebody does already. The caller holds l.mu, which is free meanwhile.
func (l *eventLog) drain() {
	if l.writing {
		return
	}
	l.writing = true
	for len(l.queue) > 0 {
		batch := l.queue
		l.queue = nil
		l.mu.Unlock()
		size, err := l.write(batch)
		l.mu.Lock()
		if err != nil {
			for _, e := range batch {
				l.pace.keep(e)
			}
		}
		l.mayCompact(size)
	}
	l.writing = false
	l.written.Broadcast()
}

// settle waits until what was queued is written.
func (l *eventLog) settle() {
	l.mu.Lock()
	defer l.mu.Unlock()
	for l.writing {
		l.written.Wait()
	}
}

// wake sees to it that what waits is written later; the caller holds l.mu.
func (l *eventLog) wake() {
	if l.pace.waits() && l.timer == nil {
		l.timer = time.AfterFunc(paceAgain, func() {
			l.mu.Lock()
			defer l.mu.Unlock()
			l.timer = nil
			l.queue = append(l.queue, l.pace.due(time.Now())...)
			l.drain()
			l.wake()
		})
	}
}

// close writes what waits, and waits for a compaction. Events that come later are written nevertheless.
func (l *eventLog) close() {
	l.settle()
	l.done.Wait()
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.timer != nil {
		l.timer.Stop()
		l.timer = nil
	}
	if all := l.pace.all(); len(all) > 0 {
		_ = flock.Within(patience, func() error {
			_, err := l.write(all)
			return err
		})
	}
}

// write appends events in one call and returns how long the file is then, or flock.ErrHeld while somebody compacts. What can't be written for another reason is lost.
func (l *eventLog) write(events []spec.Event) (size int64, err error) {
	var text []byte
	for _, e := range events {
		if b, err := json.Marshal(e); err == nil {
			text = append(append(text, b...), '\n')
		}
	}
	for range 4 { // as often as it may be replaced meanwhile
		f, err := l.open()
		if err != nil {
			return 0, nil
		}
		size, err := l.writeTo(f, text)
		f.Close()
		switch {
		case errors.Is(err, errReplaced):
		case errors.Is(err, flock.ErrHeld):
			return 0, err
		default:
			return size, nil
		}
	}
	return 0, flock.ErrHeld
}

var errReplaced = errors.New("it was replaced")

// writeTo appends to the file, if it is still the one at the path and not far too long, and returns how long it is then.
func (l *eventLog) writeTo(f *os.File, text []byte) (size int64, err error) {
	if err := flock.TryShare(f); err != nil {
		return 0, err
	}
	defer flock.Forget(f)
	size, current := l.current(f)
	switch {
	case !current:
		return 0, errReplaced
	case size >= 2*maxEvents:
		return size, nil
	}
	n, err := f.Write(text)
	return size + int64(n), err
}

// open opens the file, and makes it and its directory where there is none.
func (l *eventLog) open() (*os.File, error) {
	const flags = os.O_CREATE | os.O_APPEND | os.O_RDWR
	f, err := plainfile.Open(l.path, flags, 0o600)
	if errors.Is(err, fs.ErrNotExist) && os.MkdirAll(filepath.Dir(l.path), 0o700) == nil {
		f, err = plainfile.Open(l.path, flags, 0o600)
	}
	return f, err
}

// current says whether f is the file at the path, and how long it is.
func (l *eventLog) current(f *os.File) (int64, bool) {
	mine, err := f.Stat()
	if err != nil {
		return 0, false
	}
	now, err := os.Stat(l.path)
	return mine.Size(), err == nil && os.SameFile(mine, now)
}

// mayCompact compacts a file that is too long, beside whoever recorded; the caller holds l.mu.
func (l *eventLog) mayCompact(size int64) {
	if size <= maxEvents || l.compacting || time.Now().Before(l.notBefore) {
		return
	}
	l.compacting = true
	l.done.Go(func() {
		ok := l.compact()
		l.mu.Lock()
		defer l.mu.Unlock()
		if l.compacting = false; !ok {
			l.notBefore = time.Now().Add(compactAgain)
		}
	})
}

// compact puts a shorter file in the place of one that is too long: what is alike is one event, and of those of whom there is too much the oldest go. It says whether the file is short now.
func (l *eventLog) compact() bool {
	f, err := l.open()
	if err != nil {
		return false
	}
	defer f.Close()
	if err := flock.Within(patience, func() error { return flock.TryOwn(f) }); err != nil {
		return errors.Is(err, flock.ErrHeld) // somebody else does it
	}
	defer flock.Forget(f)
	if size, current := l.current(f); !current || size <= maxEvents {
		return true // somebody else did it
	}
	text, err := io.ReadAll(io.LimitReader(f, 3*maxEvents))
	if err != nil {
		return false
	}
	all, _ := parse(text, time.Time{})
	t := newTally()
	for _, e := range all {
		t.add(e)
	}
	return atomicfile.Write(l.path, compact(t.sum(), keptEvents), 0o600, atomicfile.Durable) == nil
}
