package pidfd

import (
	"errors"
	"fmt"
	"os"
	"sync"

	"golang.org/x/sys/unix"
)

// Poller waits for the end of any number of processes in one goroutine, which lives only while there is one to wait for. It is an epoll(7) instance
// inside Go's own poller, so waiting takes no thread. The zero Poller is ready for use; it must not be copied.
type Poller struct {
	mu      sync.Mutex
	epoll   *os.File // nil: nothing is waited for
	fd      int      // of epoll; its Fd method would make it blocking
	waiting map[int32]entry
	serial  uint32
}

// entry is one wait. serial tells it from a later one on the same descriptor number.
type entry struct {
	serial uint32
	ended  func()
}

// Add calls ended once, from the poller's goroutine, when the process has ended, unless the returned cancel was called before: then it isn't called any more,
// unless it is being called already. ended must not block. f must stay open until then; cancel before closing it. A process may be added more than once by
// different FDs.
func (p *Poller) Add(f FD, ended func()) (cancel func(), err error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.epoll == nil {
		if err := p.start(); err != nil {
			return nil, fmt.Errorf("wait for processes: %w", err)
		}
	}
	p.serial++
	e := entry{serial: p.serial, ended: ended}
	ev := unix.EpollEvent{Events: unix.EPOLLIN | unix.EPOLLONESHOT, Fd: int32(f), Pad: int32(e.serial)}
	if err := unix.EpollCtl(p.fd, unix.EPOLL_CTL_ADD, int(f), &ev); err != nil {
		p.stopIfIdle()
		return nil, fmt.Errorf("wait for a process: %w", err)
	}
	p.waiting[int32(f)] = e
	return func() { p.cancel(f, e.serial) }, nil
}

func (p *Poller) cancel(f FD, serial uint32) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.waiting[int32(f)].serial == serial && p.epoll != nil {
		p.forget(int32(f))
		p.stopIfIdle()
	}
}

// forget ends the wait on a descriptor. Its owner hasn't closed it yet.
func (p *Poller) forget(fd int32) {
	delete(p.waiting, fd)
	unix.EpollCtl(p.fd, unix.EPOLL_CTL_DEL, int(fd), nil) // it was added, so it can be deleted
}

// start makes the epoll instance and its goroutine.
func (p *Poller) start() error {
	fd, err := unix.EpollCreate1(unix.EPOLL_CLOEXEC)
	if err != nil {
		return err
	}
	if err := unix.SetNonblock(fd, true); err != nil { // tells os.NewFile to use Go's poller
		unix.Close(fd)
		return err
	}
	f := os.NewFile(uintptr(fd), "pidfds")
	conn, err := f.SyscallConn()
	if err != nil {
		f.Close()
		return err
	}
	p.epoll, p.fd, p.waiting = f, fd, map[int32]entry{}
	go p.run(f, conn.Read)
	return nil
}

// stopIfIdle ends the goroutine by closing what it waits on.
func (p *Poller) stopIfIdle() {
	if len(p.waiting) == 0 {
		p.epoll.Close()
		p.epoll = nil
	}
}

// run delivers ends until f is closed.
func (p *Poller) run(f *os.File, read func(func(uintptr) bool) error) {
	events := make([]unix.EpollEvent, 64)
	for {
		var n int
		var waitErr error
		err := read(func(fd uintptr) bool {
			for {
				n, waitErr = unix.EpollWait(int(fd), events, 0)
				if !errors.Is(waitErr, unix.EINTR) {
					return n != 0 || waitErr != nil
				}
			}
		})
		if err != nil || waitErr != nil {
			return // closed: nobody waits any more
		}
		for _, ended := range p.take(f, events[:n]) {
			ended()
		}
	}
}

// take ends the waits that events are about and returns whom to tell.
func (p *Poller) take(f *os.File, events []unix.EpollEvent) (told []func()) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.epoll != f {
		return nil
	}
	for _, ev := range events {
		if e, ok := p.waiting[ev.Fd]; ok && e.serial == uint32(ev.Pad) {
			told = append(told, e.ended)
			p.forget(ev.Fd)
		}
	}
	p.stopIfIdle()
	return told
}
