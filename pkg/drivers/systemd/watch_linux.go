package systemd

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync"
	"time"

	"github.com/fsnotify/fsnotify"
	"github.com/godbus/dbus/v5"

	"reconciler.dev/reconciler/pkg/drivers"
)

// Watch tells of what the manager tells and of what somebody does to unit files. It waits without polling, and connects again where the manager was restarted or
// executed anew.
func (d *Driver) Watch(ctx context.Context, changed func(name string)) error {
	eyes, err := d.openEyes()
	if err != nil {
		return fmt.Errorf("watch daemons: %w", err)
	}
	defer eyes.close()
	w := &watcher{d: d, changed: changed, eyes: eyes}
	ctx, cancel := context.WithCancel(ctx)
	defer w.later.Wait()
	defer cancel()
	for {
		lost, err := w.listen(ctx)
		if err != nil {
			return fmt.Errorf("watch daemons: %w", err)
		}
		if ctx.Err() != nil {
			return ctx.Err()
		}
		if lost && !w.pause(ctx) {
			return ctx.Err()
		}
	}
}

// watcher is one call of Watch.
type watcher struct {
	d       *Driver
	changed func(string)
	eyes    *eyes
	tries   int
	// later are those who wait for somebody to be done with a daemon.
	later sync.WaitGroup
}

// The shortest and the longest wait before another try to reach a manager that doesn't answer.
const (
	firstTry = 50 * time.Millisecond
	lastTry  = 5 * time.Second
)

// pause waits before the next try to connect, and tells whether there is to be one.
func (w *watcher) pause(ctx context.Context) bool {
	t := time.NewTimer(min(firstTry<<min(w.tries, 10), lastTry))
	defer t.Stop()
	w.tries++
	select {
	case <-t.C:
		return true
	case <-ctx.Done():
		return false
	}
}

// listen tells of changes until the connection is lost or ctx ends.
func (w *watcher) listen(ctx context.Context) (lost bool, err error) {
	l, err := w.d.bus.get(ctx)
	if err != nil {
		if errors.Is(err, drivers.ErrUnreachable) || ctx.Err() != nil {
			return true, nil
		}
		return false, err
	}
	h := &hearing{news: make(chan struct{}, 1), seen: map[dbus.ObjectPath]*facts{}}
	e := &ear{hear: h.hear, gone: make(chan struct{})}
	if err := l.attach(e); err != nil {
		return true, nil
	}
	defer l.detach(e)
	if err := w.eyes.arm(); err != nil {
		return false, err
	}
	w.tries = 0
	w.changed("")
	for {
		select {
		case <-ctx.Done():
			return false, nil
		case <-e.gone:
			w.changed("")
			return true, nil
		case <-h.news:
			w.tell(ctx, h)
		case err := <-w.eyes.fs.Errors:
			if !errors.Is(err, fsnotify.ErrEventOverflow) {
				return false, err
			}
			if err := w.eyes.arm(); err != nil {
				return false, err
			}
			w.changed("")
		case e := <-w.eyes.fs.Events:
			for _, name := range w.eyes.see(e) {
				w.changed(name)
			}
		}
	}
}

// tell notes the ends that were heard of, which the manager forgets, and tells of all that was.
func (w *watcher) tell(ctx context.Context, h *hearing) {
	heard, missed := h.take()
	for _, n := range heard {
		name := w.eyes.learn(n.unit)
		if name == "" {
			continue
		}
		if n.ended && !w.d.noteEnd(name, n.unit, n.facts) {
			w.later.Go(func() { w.noteEndLater(ctx, name, n.unit, n.facts) })
		}
		w.changed(name)
	}
	if missed {
		w.changed("")
	}
}

// news is what was heard of one unit.
type news struct {
	unit  string
	facts facts
	ended bool
}

// hearing takes from what the manager tells what happens to services.
type hearing struct {
	news chan struct{}

	mu     sync.Mutex
	seen   map[dbus.ObjectPath]*facts
	heard  []news
	missed bool
}

func (h *hearing) take() ([]news, bool) {
	h.mu.Lock()
	defer h.mu.Unlock()
	heard, missed := h.heard, h.missed
	h.heard, h.missed = nil, false
	return heard, missed
}

// hear is called in the order of what is told, and returns at once.
func (h *hearing) hear(s *dbus.Signal) {
	h.mu.Lock()
	defer h.mu.Unlock()
	switch {
	case s.Name == managerInterface+".Reloading" && len(s.Body) == 1 && s.Body[0] == false:
		h.missed = true
	case s.Name == propertiesChange && len(s.Body) >= 2 && strings.HasSuffix(string(s.Path), "_2eservice"):
		if !h.unitChanged(s) {
			return
		}
	default:
		return
	}
	select {
	case h.news <- struct{}{}:
	default:
	}
}

// unitChanged tells whether something happened to a unit. That a unit is loaded, or what of it is only read anew, is nothing that happened.
func (h *hearing) unitChanged(s *dbus.Signal) bool {
	changed, _ := s.Body[1].(map[string]dbus.Variant)
	was := h.seen[s.Path]
	if was == nil {
		was = &facts{}
	}
	now := *was
	for name, v := range changed {
		now.set(name, v)
	}
	h.seen[s.Path] = &now
	quiet := now.Active == "inactive" || now.Invocation == was.Invocation
	if now.Active == was.Active && now.Sub == was.Sub && quiet && (now.MainPID == 0 || now.MainPID == was.MainPID) {
		return false
	}
	if now.Active == "inactive" || now.Active == "failed" {
		delete(h.seen, s.Path) // a unit that ends may never be heard of again
	}
	h.heard = append(h.heard, news{unitNamed(s.Path), now, now.Code != 0 && now.MainPID == 0})
	return true
}

// noteEnd notes how an instance ended, as the manager told when it did. It tells whether it could: not while somebody is at the daemon.
func (d *Driver) noteEnd(name, unit string, said facts) bool {
	lock := d.tryLock(name)
	if lock == nil {
		return false
	}
	defer lock.Release()
	d.noteEndLocked(name, unit, said)
	return true
}

func (d *Driver) noteEndLocked(name, unit string, said facts) {
	f := d.units.read(unit)
	if f.stamp == nil || f.stamp.Name != name || said.Invocation == "" {
		return
	}
	var was note
	if n := d.notes.read(name); n != nil {
		was = *n
	}
	if i := was.Instance; i != nil && i.ID != said.Invocation && !said.Began.After(i.StartedAt) {
		return // another one has come since
	}
	next := was.after(said, f.stamp, false, d.boot)
	next.Unit = unit
	_ = d.notes.write(name, *next) // whoever looks finds out what it can without
}

// noteEndLater is noteEnd that waits for whoever is at the daemon.
func (w *watcher) noteEndLater(ctx context.Context, name, unit string, said facts) {
	lock, err := drivers.LockName(ctx, w.d.dirs, name)
	if err != nil {
		return
	}
	w.d.noteEndLocked(name, unit, said)
	lock.Release()
	w.changed(name)
}
