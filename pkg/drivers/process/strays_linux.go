package process

import (
	"sync"

	"reconciler.dev/reconciler/internal/procfs"
	"reconciler.dev/reconciler/pkg/spec"
)

// strays remembers which trees have lost their main process, and what a look at all processes since then has found of them. Where it found nothing, nothing can
// ever be part of the tree again, so one look serves all who ask later; and it can go on while the end is being dealt with. Where it found something, the next
// one looks again, and who doesn't wait for that is told what was found before.
type strays struct {
	mu    sync.Mutex
	looks map[string]*strayLook // by the ID of the instance
}

// strayLook is one look for what is left of a tree.
type strayLook struct {
	// before is what the look before this one found.
	before []int
	done   chan struct{}
	living []procfs.Stat
	err    error
}

// begin begins the look at a tree whose main process has ended, if nobody has.
func (d *Driver) beginStrayLook(rec *record) *strayLook {
	i := rec.Instance
	s := &d.strays
	s.mu.Lock()
	defer s.mu.Unlock()
	l := &strayLook{done: make(chan struct{})}
	if last := s.looks[i.ID]; last != nil {
		if !last.isDone() || len(last.living) == 0 {
			return last
		}
		l.before = pids(last.living)
	}
	if s.looks == nil {
		s.looks = map[string]*strayLook{}
	}
	s.looks[i.ID] = l
	go func() {
		defer close(l.done)
		if l.living, l.err = d.living(rec.tree(), mainProcess(i)); l.err != nil {
			s.forget(i.ID) // the next one looks again
		}
		if len(l.living) > 0 {
			d.awaitStrays(rec.tree())
		}
	}()
	return l
}

func (l *strayLook) isDone() bool {
	select {
	case <-l.done:
		return true
	default:
		return false
	}
}

// forget forgets a look. Those who wait for it get what it finds.
func (s *strays) forget(id string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	delete(s.looks, id)
}

// lookForStrays looks what is left of the tree of an instance that ended. Without wait it doesn't wait for a look that is under way; until that is done it says
// what the look before it found.
func (d *Driver) lookForStrays(f *finding, wait bool) error {
	l := d.beginStrayLook(f.rec)
	if !wait && !l.isDone() {
		f.strays = l.before
		return nil
	}
	<-l.done
	if l.err != nil {
		return l.err
	}
	if f.strays = pids(l.living); len(l.living) == 0 {
		next := *f.rec
		next.Gone = true // whoever writes the record next writes it down; nobody has to for that alone
		f.rec = &next
	}
	return nil
}

// forgetInstance forgets what is remembered of an instance that is recorded as gone, or replaced.
func (s *strays) forgetInstance(i *spec.Instance) {
	if i != nil {
		s.forget(i.ID)
	}
}
