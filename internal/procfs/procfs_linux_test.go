package procfs

import (
	"errors"
	"fmt"
	"math"
	"os"
	"os/exec"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"golang.org/x/sys/unix"
)

// line is a stat line of a process with that command.
func line(command string) string {
	return "42 (" + command + ") S 1 42 43 0 -1 4194560 1 2 3 4 5 6 7 8 20 0 1 0 987654 1 2 3 4 5 6 7 8 9 10 11 12 13 14 15 16 17 18 19 20 21 22 23 24 25 26 27 28 29 256\n"
}

func TestParseStat(t *testing.T) {
	want := Stat{PID: 42, State: 'S', PPID: 1, PGRP: 42, Session: 43, Start: 987654, ExitCode: 256}
	for _, command := range []string{"cat", "a b", "a) R 1 1 1 (b", ")", "(", "", "a\nb", "\xff\x00", ") Z 9 9 9 0 0 0 0 0 0 0 0 0 0 0 0 0 0 0 9"} {
		got, err := ParseStat([]byte(line(command)))
		if err != nil {
			t.Errorf("command %q: %v", command, err)
		}
		if d := cmp.Diff(want, got); d != "" {
			t.Errorf("command %q: %s", command, d)
		}
	}
	for _, bad := range []string{"", "42", "42 cat S 1", "42 (cat) S 1 42", ") (", "x (cat) S 1", "-1 (cat) S 1", strings.Replace(line("cat"), " S ", " SS ", 1),
		strings.Replace(line("cat"), "987654", "-1", 1)} {
		if got, err := ParseStat([]byte(bad)); err == nil {
			t.Errorf("%q gives %+v, want an error", bad, got)
		}
	}
}

func TestParseStatOfOldKernelsWithoutAnExitCode(t *testing.T) {
	got, err := ParseStat([]byte(strings.TrimSuffix(line("cat"), " 256\n")))
	if err != nil || got.Start != 987654 || got.ExitCode != 0 {
		t.Errorf("got %+v, %v", got, err)
	}
}

func FuzzParseStat(f *testing.F) {
	for _, seed := range []string{line("cat"), line("a) Z 1 (b"), "1 (", ") 1 ("} {
		f.Add([]byte(seed))
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		s, err := ParseStat(data)
		if err == nil && (s.PID <= 0 || s.State == 0) {
			t.Errorf("%q is accepted as %+v", data, s)
		}
	})
}

func FuzzParseStatTrustsNoCommand(f *testing.F) {
	f.Add("cat")
	f.Add(") R 1 1 1 1")
	want, err := ParseStat([]byte(line("cat")))
	if err != nil {
		f.Fatal(err)
	}
	f.Fuzz(func(t *testing.T, command string) {
		if got, err := ParseStat([]byte(line(command))); err != nil || got != want {
			t.Errorf("command %q changes the rest to %+v, %v", command, got, err)
		}
	})
}

func TestReadStatOfOurselves(t *testing.T) {
	s, err := ReadStat(os.Getpid())
	if err != nil {
		t.Fatal(err)
	}
	if s.PID != os.Getpid() || s.PPID != os.Getppid() || s.PGRP != unix.Getpgrp() || s.Dead() {
		t.Errorf("got %+v", s)
	}
	if age := Age(s.Start); age <= 0 || age > SinceBoot() {
		t.Errorf("this process is %v old, %v after boot", age, SinceBoot())
	}
	if _, err := ReadStat(math.MaxInt32); !errors.Is(err, ErrGone) {
		t.Errorf("a process that can't be: %v, want ErrGone", err)
	}
}

func TestBootID(t *testing.T) {
	a, err := BootID()
	b, err2 := BootID()
	if err != nil || err2 != nil || a != b || len(a) != 36 {
		t.Errorf("boot ids %q, %q, %v, %v", a, b, err, err2)
	}
}

func TestReadInherited(t *testing.T) {
	in, err := ReadInherited()
	if err != nil {
		t.Fatal(err)
	}
	umask := unix.Umask(0o22)
	unix.Umask(umask)
	if in.Umask != umask {
		t.Errorf("umask %04o, want %04o", in.Umask, umask)
	}
}

func TestNewTag(t *testing.T) {
	seen := map[Tag]bool{0: true}
	for range 1000 {
		tag := NewTag()
		if seen[tag] || !tag.valid() || tag > math.MaxInt64 {
			t.Fatalf("tag %x", tag)
		}
		seen[tag] = true
	}
	for _, limit := range []Tag{0, 1, 1024, 1 << 20, math.MaxUint64, math.MaxInt64, math.MaxUint32} {
		if limit.valid() {
			t.Errorf("the limit %d is taken for a tag", limit)
		}
	}
}

// tagged starts a shell command as a child that carries a new tag.
func tagged(t *testing.T, script string) (Tag, *exec.Cmd) {
	t.Helper()
	tag := NewTag()
	cmd := exec.Command("/bin/sh", "-c", script)
	undo, err := tag.Set()
	if err != nil {
		t.Fatal(err)
	}
	err = cmd.Start()
	if err := undo(); err != nil {
		t.Fatal(err)
	}
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { cmd.Process.Kill(); cmd.Wait() })
	return tag, cmd
}

func TestTagIsInheritedThroughEverything(t *testing.T) {
	// A subshell, a new session, a cleared environment, an orphan; the last shell replaces itself.
	tag, cmd := tagged(t, `(sleep 60 & setsid -f env -i sleep 60; (setsid sleep 60 &) ) & exec sleep 60`)
	var s Scanner
	defer func() {
		pids, _, err := s.Members(tag)
		if err != nil {
			t.Error(err)
		}
		for _, pid := range pids {
			unix.Kill(pid, unix.SIGKILL)
		}
	}()
	sleeping := func() int {
		pids, _, err := s.Members(tag)
		if err != nil {
			t.Fatal(err)
		}
		n := 0
		for _, pid := range pids {
			if comm, _ := os.ReadFile(fmt.Sprintf("/proc/%d/comm", pid)); string(comm) == "sleep\n" {
				n++
			}
		}
		return n
	}
	for deadline := time.Now().Add(10 * time.Second); sleeping() != 4; {
		if time.Now().After(deadline) {
			t.Fatalf("%d of 4 processes found", sleeping())
		}
	}
	if got, err := ReadTag(cmd.Process.Pid); got != tag || err != nil {
		t.Errorf("ReadTag: %x, %v; want %x", got, err, tag)
	}
	if got, err := readTagFile(cmd.Process.Pid); got != tag || err != nil {
		t.Errorf("the tag in /proc/PID/limits: %x, %v; want %x", got, err, tag)
	}
	if got, err := ReadTag(os.Getpid()); got == tag || err != nil {
		t.Errorf("we kept the tag: %x, %v", got, err)
	}
}

func TestReadTagOfNobody(t *testing.T) {
	if _, err := ReadTag(math.MaxInt32); !errors.Is(err, ErrGone) {
		t.Errorf("ReadTag: %v, want ErrGone", err)
	}
	if _, err := readTagFile(math.MaxInt32); !errors.Is(err, ErrGone) {
		t.Errorf("readTagFile: %v, want ErrGone", err)
	}
	if tag, err := readTagFile(1); tag != 0 || err != nil {
		t.Errorf("process 1 has tag %x, %v", tag, err)
	}
}

func TestPIDsListsUs(t *testing.T) {
	var pids []int
	for pid, err := range PIDs() {
		if err != nil {
			t.Fatal(err)
		}
		pids = append(pids, pid)
	}
	if !slices.IsSorted(pids) || !slices.Contains(pids, os.Getpid()) || !slices.Contains(pids, 1) {
		t.Errorf("got %v", pids)
	}
	for pid := range PIDs() {
		if pid != 1 {
			t.Errorf("the first is %d", pid)
		}
		break
	}
}

// TestScanBeginsAfterTheCall has many callers share scans: each must still see what was there when it asked.
func TestScanBeginsAfterTheCall(t *testing.T) {
	var s Scanner
	var wg sync.WaitGroup
	var mu sync.Mutex // Tag.Set is for one at a time
	for range 8 {
		wg.Go(func() {
			for range 5 {
				mu.Lock()
				tag, cmd := tagged(t, "exec sleep 60")
				mu.Unlock()
				if pids, _, err := s.Members(tag); err != nil || !slices.Equal(pids, []int{cmd.Process.Pid}) {
					t.Errorf("before the end: %v, %v; want %d", pids, err, cmd.Process.Pid)
				}
				cmd.Process.Kill()
				cmd.Wait()
				if pids, _, err := s.Members(tag); err != nil || len(pids) != 0 {
					t.Errorf("after the end: %v, %v", pids, err)
				}
			}
		})
	}
	wg.Wait()
}

func TestLastPIDMoves(t *testing.T) {
	before, err := LastPID()
	if err != nil || before < 1 {
		t.Fatalf("LastPID: %d, %v", before, err)
	}
	tagged(t, "exec sleep 60")
	if after, err := LastPID(); err != nil || after == before {
		t.Errorf("a process was made, and the last one is still %d, %v", after, err)
	}
}

// TestScanCatchesUp with what was made while it ran, also where numbers began anew, and takes a thread for the process it belongs to.
func TestScanCatchesUp(t *testing.T) {
	tag, cmd := tagged(t, "exec sleep 60")
	pid := cmd.Process.Pid
	highest, err := maxPID()
	if err != nil || highest <= pid {
		t.Fatalf("the highest number is %d, %v, and process %d was made", highest, err, pid)
	}
	for last, want := range map[int][]int{pid - 1: {pid}, highest: {pid}, pid: nil} {
		s := scan{found: map[Tag][]int{}, self: os.Getpid()}
		if err := s.catchUp(last, pid); err != nil || !slices.Equal(s.found[tag], want) {
			t.Errorf("after %d it sees %v, %v; want %v", last, s.found[tag], err, want)
		}
	}
	threads, err := os.ReadDir("/proc/self/task")
	if err != nil {
		t.Fatal(err)
	}
	for _, thread := range threads {
		if got, err := processOf(number([]byte(thread.Name()))); got != os.Getpid() || err != nil {
			t.Errorf("thread %s belongs to process %d, %v", thread.Name(), got, err)
		}
	}
}

func BenchmarkScan(b *testing.B) {
	for b.Loop() {
		var s scan
		if s.run(); s.err != nil {
			b.Fatal(s.err)
		}
	}
}
