package procfs

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"iter"
	"os"
	"slices"
	"strconv"
	"sync"
	"time"

	"golang.org/x/sys/unix"
)

// Scanner finds all tagged processes of this machine. Concurrent calls share the work: a scan serves everybody who asked before it began.
// The zero Scanner is ready for use.
type Scanner struct {
	mu   sync.Mutex
	next *scan // the one that hasn't begun; nil: none is wanted
	busy bool
	last time.Time // when the last one ended
	// pause is how long to wait after that. Where many ask, it is as long as a scan takes, so that scanning takes half a core at most and more callers share it.
	pause time.Duration
}

type scan struct {
	done  chan struct{}
	found map[Tag][]int
	self  int
	// skipped says that not all numbers were looked at.
	skipped bool
	sure    bool
	err     error
	// callers is how many it serves.
	callers int
}

// Members returns the processes that have the tag, without this one, at a moment after the call began. Some may have ended and not been noticed by their parent.
// sure is false where processes are being made so fast that one may have been missed.
func (s *Scanner) Members(t Tag) (members []int, sure bool, err error) {
	all := s.all()
	return all.found[t], all.sure, all.err
}

// All is Members for all tags at once. It isn't to be changed.
func (s *Scanner) All() (map[Tag][]int, error) {
	all := s.all()
	return all.found, all.err
}

func (s *Scanner) all() *scan {
	s.mu.Lock()
	mine := s.next
	if mine == nil {
		mine = &scan{done: make(chan struct{})}
		s.next = mine
	}
	mine.callers++
	lead := !s.busy
	s.busy = true
	s.mu.Unlock()
	if lead {
		s.work(mine)
	}
	<-mine.done
	return mine
}

// work scans for mine, and hands on to a goroutine what others have asked for meanwhile.
func (s *Scanner) work(mine *scan) {
	s.mu.Lock()
	pause := s.pause - time.Since(s.last)
	s.mu.Unlock()
	if pause > 0 {
		<-time.After(pause)
	}
	s.mu.Lock()
	s.next = nil
	s.mu.Unlock()
	began := time.Now()
	mine.run()
	close(mine.done)

	s.mu.Lock()
	s.last, s.pause = time.Now(), 0
	if mine.callers > 1 {
		s.pause = time.Since(began)
	}
	next := s.next
	s.busy = next != nil
	s.mu.Unlock()
	if next != nil {
		go s.work(next)
	}
}

// run scans. First come the processes that are listed. One that ends before its turn may have had children meanwhile, so then come, in the order of their
// making, the numbers that have been given out since, until none has been given out after a look at the last one. Whoever lives then was seen, or was being
// made by one who was.
func (s *scan) run() {
	s.found, s.self = map[Tag][]int{}, os.Getpid()
	last, err := LastPID()
	if err != nil {
		s.err = err
		return
	}
	for pid, err := range PIDs() {
		if err != nil {
			s.err = err
			return
		}
		s.see(pid)
	}
	for range maxRounds {
		now, err := LastPID()
		if err != nil || now == last {
			s.sure, s.err = err == nil && !s.skipped, err
			return
		}
		if s.err = s.catchUp(last, now); s.err != nil {
			return
		}
		last = now
	}
}

const (
	// maxRounds bounds how long a scan runs after processes that are made all the time.
	maxRounds = 1000
	// maxGap is more numbers than can be given out during a scan.
	maxGap = 100_000
)

// see notes a process that has a tag, once.
func (s *scan) see(pid int) {
	if pid == s.self {
		return
	}
	if t := glance(pid); t != 0 && !slices.Contains(s.found[t], pid) {
		s.found[t] = append(s.found[t], pid)
	}
}

// catchUp sees the processes whose numbers were given out after last, up to now. Numbers are given out ascending, and begin anew after the highest.
func (s *scan) catchUp(last, now int) error {
	if now < last {
		highest, err := maxPID()
		if err != nil {
			return err
		}
		s.seeNew(last+1, highest)
		last = 0
	}
	s.seeNew(last+1, now)
	return nil
}

// seeNew sees the processes with numbers from first to last. Some of these are threads.
func (s *scan) seeNew(first, last int) {
	s.skipped = s.skipped || last-first > maxGap
	for pid := first; pid <= min(last, first+maxGap); pid++ {
		if glance(pid) == 0 {
			continue
		}
		if leader, err := processOf(pid); err == nil {
			s.see(leader)
		}
	}
}

// processOf returns the process that a thread belongs to.
func processOf(thread int) (int, error) {
	var buf [512]byte
	text, err := readSmall("/proc/"+strconv.Itoa(thread)+"/status", buf[:])
	if err != nil {
		return 0, gone(thread, err)
	}
	_, rest, _ := bytes.Cut(text, []byte("\nTgid:"))
	word, _, _ := bytes.Cut(rest, []byte("\n"))
	return number(bytes.TrimSpace(word)), nil
}

// maxPID returns what the numbers of processes stay below.
func maxPID() (int, error) {
	var buf [32]byte
	text, err := readSmall("/proc/sys/kernel/pid_max", buf[:])
	if err != nil {
		return 0, fmt.Errorf("read the highest process number: %w", err)
	}
	return number(bytes.TrimSpace(text)), nil
}

// glance reads a tag as ReadTag does, at the least cost: a process that we may not even signal isn't ours, and takes no reading of a file.
func glance(pid int) Tag {
	var lim unix.Rlimit
	switch err := unix.Prlimit(pid, resourceLocks, nil, &lim); {
	case err == nil:
		if t := Tag(lim.Cur); t.valid() {
			return t
		}
	case errors.Is(err, unix.EPERM) && unix.Kill(pid, 0) == nil:
		t, _ := readTagFile(pid) // gone meanwhile is as good as without a tag
		return t
	}
	return 0
}

// PIDs yields the numbers of all processes, ascending, or an error and then nothing more.
func PIDs() iter.Seq2[int, error] {
	return func(yield func(int, error) bool) {
		fd, err := unix.Open("/proc", unix.O_RDONLY|unix.O_DIRECTORY|unix.O_CLOEXEC, 0)
		if err != nil {
			yield(0, fmt.Errorf("list processes: %w", err))
			return
		}
		defer unix.Close(fd)
		buf := make([]byte, 64<<10)
		for {
			n, err := unix.ReadDirent(fd, buf)
			if err == unix.EINTR {
				continue
			}
			if err != nil {
				yield(0, fmt.Errorf("list processes: %w", err))
				return
			}
			if n <= 0 {
				return
			}
			for rest := buf[:n]; len(rest) > 0; {
				name, size := dirent(rest)
				rest = rest[size:]
				if pid := number(name); pid > 0 && !yield(pid, nil) {
					return
				}
			}
		}
	}
}

// dirent takes the first entry of what getdents64(2) returned apart: ino 8, off 8, reclen 2, type 1, name.
func dirent(b []byte) (name []byte, size int) {
	const fixed = 19
	size = int(binary.NativeEndian.Uint16(b[16:]))
	name, _, _ = bytes.Cut(b[fixed:size], []byte{0})
	return name, size
}

// number returns the number that a name is, 0 where it is none.
func number(name []byte) int {
	n := 0
	for _, c := range name {
		if c < '0' || c > '9' || n > 1<<24 {
			return 0
		}
		n = 10*n + int(c-'0')
	}
	return n
}

// LastPID returns the number of the process or thread that was made last: where it is the same twice, none was made in between.
func LastPID() (int, error) {
	var buf [128]byte
	text, err := readSmall("/proc/loadavg", buf[:])
	if err != nil {
		return 0, fmt.Errorf("read the last process number: %w", err)
	}
	words := bytes.Fields(text)
	if len(words) == 0 {
		return 0, errors.New("read the last process number: /proc/loadavg is empty")
	}
	return number(words[len(words)-1]), nil
}
