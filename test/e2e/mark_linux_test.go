package e2e

import (
	"cmp"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"

	"golang.org/x/sys/unix"
)

// mark tells which test a process belongs to, whatever became of its parents, name, user or environment. It is the soft RLIMIT_RSS, a limit without
// effect since Linux 2.4.30 (getrlimit(2)), which every descendant inherits. It is not the mark that the program under test relies on, so that the one can
// bear witness to the other.
type mark uint64

// A mark has a bit that no limit has that a person set, the number of this run of the tests, and one of its own.
const (
	markBit  = 1 << 61
	ownBits  = 30
	runShift = ownBits
)

// thisRun is the number of this run of the tests.
var thisRun = rand.Uint64N(markBit >> runShift)

func newMark() mark { return mark(markBit | thisRun<<runShift | rand.Uint64N(1<<ownBits)) }

// ofRun tells whether a process was started by a run of the tests.
func ofRun(pid int, run uint64) bool {
	v, ok := softLimit(pid, unix.RLIMIT_RSS, "Max resident set")
	return ok && v>>runShift == (markBit>>runShift|run)
}

// command is a program that has the mark from its first instruction on. prlimit(1) sets it and becomes the program: this process never has a mark itself, which a host, a
// build, or anything else that it starts meanwhile would inherit.
func (m mark) command(program string, args ...string) *exec.Cmd {
	return exec.Command("prlimit", append([]string{fmt.Sprintf("--rss=%d:", m), program}, args...)...)
}

// proc is a living process.
type proc struct {
	pid, ppid int
	exe       string
	args      []string
	tag       uint64 // the soft RLIMIT_LOCKS, by which the program under test knows its own
}

func (p proc) String() string {
	return fmt.Sprintf("process %d (parent %d, %s, tag %x): %s", p.pid, p.ppid, p.exe, p.tag, strings.Join(p.args, " "))
}

// alive returns the processes with the mark that haven't ended, the oldest first.
func (m mark) alive(t testing.TB) []proc {
	t.Helper()
	pids, err := processes()
	if err != nil {
		t.Fatal(err)
	}
	var found []proc
	for _, pid := range pids {
		if !m.on(pid) {
			continue
		}
		if p, ok := look(pid); ok {
			found = append(found, p)
		}
	}
	slices.SortFunc(found, func(a, b proc) int { return cmp.Compare(a.pid, b.pid) })
	return found
}

// processes lists all there are.
func processes() ([]int, error) {
	entries, err := os.ReadDir("/proc")
	if err != nil {
		return nil, err
	}
	var pids []int
	for _, e := range entries {
		if pid, err := strconv.Atoi(e.Name()); err == nil {
			pids = append(pids, pid)
		}
	}
	return pids, nil
}

// on tells whether a process has the mark.
func (m mark) on(pid int) bool {
	v, ok := softLimit(pid, unix.RLIMIT_RSS, "Max resident set")
	return ok && v == uint64(m)
}

// softLimit reads a soft limit of a process. prlimit(2) is fast, but root needs CAP_SYS_RESOURCE for the processes of others, which containers lack.
func softLimit(pid, resource int, name string) (uint64, bool) {
	var lim unix.Rlimit
	err := unix.Prlimit(pid, resource, nil, &lim)
	if !errors.Is(err, unix.EPERM) {
		return lim.Cur, err == nil
	}
	text, err := os.ReadFile(fmt.Sprintf("/proc/%d/limits", pid))
	_, rest, found := strings.Cut(string(text), "\n"+name)
	if fields := strings.Fields(rest); err == nil && found && len(fields) > 0 {
		v, err := strconv.ParseUint(fields[0], 10, 64)
		return v, err == nil
	}
	return 0, false
}

// look reads what there is to know of a process; not ok where it has ended, reaped or not.
func look(pid int) (p proc, ok bool) {
	dir := filepath.Join("/proc", strconv.Itoa(pid))
	stat, err := os.ReadFile(filepath.Join(dir, "stat"))
	if err != nil {
		return p, false
	}
	text := string(stat)
	fields := strings.Fields(text[strings.LastIndexByte(text, ')')+1:])
	if len(fields) < 2 || fields[0] == "Z" || fields[0] == "X" {
		return p, false
	}
	p.pid = pid
	p.ppid, _ = strconv.Atoi(fields[1])
	p.exe, _ = os.Readlink(filepath.Join(dir, "exe"))
	args, _ := os.ReadFile(filepath.Join(dir, "cmdline"))
	p.args = strings.Split(strings.TrimRight(string(args), "\x00"), "\x00")
	p.tag, _ = softLimit(pid, 10, "Max file locks") // RLIMIT_LOCKS
	return p, true
}

// kill ends a process that has the mark, and nothing else.
func (m mark) kill(pid int) error {
	return killIf(pid, m.on)
}

// killIf ends a process if is says so. What the number means is held fast before it is asked.
func killIf(pid int, is func(pid int) bool) error {
	fd, err := unix.PidfdOpen(pid, 0)
	if err != nil {
		return err
	}
	defer unix.Close(fd)
	if !is(pid) {
		return fmt.Errorf("process %d isn't one of this test", pid)
	}
	return unix.PidfdSendSignal(fd, unix.SIGKILL, nil, 0)
}
