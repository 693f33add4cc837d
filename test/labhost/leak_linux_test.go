package labhost

import (
	"bufio"
	"bytes"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

// machineState is what of this machine a lab could change.
type machineState struct {
	Mounts     string
	Interfaces []string
}

func lookAtMachine(t *testing.T) (s machineState) {
	t.Helper()
	mounts, err := os.ReadFile("/proc/self/mountinfo")
	if err != nil {
		t.Fatal(err)
	}
	s.Mounts = string(mounts)
	interfaces, err := net.Interfaces()
	if err != nil {
		t.Fatal(err)
	}
	for _, i := range interfaces {
		s.Interfaces = append(s.Interfaces, i.Name)
	}
	return s
}

// labCgroups are the cgroups of all labs of the machine.
func labCgroups(t *testing.T) []string {
	t.Helper()
	root, err := cgroupRoot()
	if err != nil {
		t.Fatal(err)
	}
	found, err := filepath.Glob(filepath.Join(root, cgroupPrefix+"*"))
	if err != nil {
		t.Fatal(err)
	}
	return found
}

func TestAFailedTestLeavesNothing(t *testing.T) {
	if os.Getuid() != 0 {
		theLab(t) // skips
	}
	before := lookAtMachine(t)
	cmd := victimCommand(t, failsBeside)
	out, err := cmd.CombinedOutput()
	if err == nil || !strings.Contains(string(out), "it is broken") {
		t.Fatalf("it ended with %v: %s", err, out)
	}
	if d := cmp.Diff(before, lookAtMachine(t)); d != "" {
		t.Errorf("the machine changed:\n%s", d)
	}
	if !strings.Contains(string(out), "Startup finished") {
		t.Errorf("a failed test doesn't show its host's journal:\n%s", out)
	}
	for _, dir := range labCgroups(t) {
		if strings.Contains(string(out), dir) {
			t.Errorf("%s is left", dir)
		}
	}
}

// The kernel ends everything with the test process, however that ends.
func TestAKilledTestLeavesNothingThatRuns(t *testing.T) {
	if os.Getuid() != 0 {
		theLab(t) // skips
	}
	before := lookAtMachine(t)
	cmd := victimCommand(t, isKilled)
	cgroup := startVictim(t, cmd)
	if n := len(processesIn(t, cgroup)); n < 5 { // the lab, a systemd with a journal and a bus, a reaper
		t.Fatalf("%d processes are in %s: the lab's are to be there", n, cgroup)
	}
	children := childrenOf(t, cmd.Process.Pid)
	if len(children) < 3 { // the lab, and what boots each host
		t.Fatalf("the test process has the children %q", children)
	}
	r, err := machineRoom()
	if err != nil {
		t.Fatal(err)
	}
	victim := fmt.Sprintf(", process %d has 1", cmd.Process.Pid)
	if have := r.holders(); !strings.Contains(have, victim) {
		t.Errorf("it has a host, and no room: %s", have)
	}
	if err := cmd.Process.Signal(syscall.SIGKILL); err != nil {
		t.Fatal(err)
	}
	cmd.Wait() // that it was killed is known
	for deadline := time.Now().Add(10 * time.Second); populated(cgroup) || anyOf(children); <-time.After(5 * time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatalf("processes %q of its lab are left, or some of %q", processesIn(t, cgroup), children)
		}
	}
	if have := r.holders(); strings.Contains(have, victim) {
		t.Errorf("it keeps its room: %s", have)
	}
	if d := cmp.Diff(before, lookAtMachine(t)); d != "" {
		t.Errorf("the machine changed:\n%s", d)
	}

	old := time.Now().Add(-2 * youngest)
	if err := os.Chtimes(cgroup, old, old); err != nil {
		t.Fatal(err)
	}
	if err := sweepCgroups(); err != nil {
		t.Fatal(err)
	}
	if _, err := os.Stat(cgroup); !os.IsNotExist(err) {
		t.Errorf("the next run doesn't remove its cgroup: %v", err)
	}
}

// startVictim starts the victim that is to be killed, and returns its lab's cgroup once its hosts run.
func startVictim(t *testing.T, cmd *exec.Cmd) (cgroup string) {
	t.Helper()
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	var said bytes.Buffer
	for lines := bufio.NewScanner(out); lines.Scan(); said.WriteString(lines.Text() + "\n") {
		if strings.HasPrefix(lines.Text(), "/") {
			return lines.Text()
		}
	}
	t.Fatalf("it ended: %s", &said)
	return ""
}

// childrenOf are the children of a process.
func childrenOf(t *testing.T, pid int) (children []string) {
	t.Helper()
	lists, err := filepath.Glob(fmt.Sprintf("/proc/%d/task/*/children", pid))
	if err != nil {
		t.Fatal(err)
	}
	for _, list := range lists {
		pids, err := os.ReadFile(list)
		if err != nil {
			t.Fatal(err)
		}
		children = append(children, strings.Fields(string(pids))...)
	}
	return children
}

// anyOf tells whether one of the processes is there.
func anyOf(pids []string) bool {
	return slices.ContainsFunc(pids, func(pid string) bool {
		_, err := os.Stat("/proc/" + pid)
		return err == nil
	})
}

func processesIn(t *testing.T, cgroup string) (pids []string) {
	t.Helper()
	err := filepath.WalkDir(cgroup, func(path string, d os.DirEntry, err error) error {
		if err != nil || d.Name() != "cgroup.procs" {
			return nil // what goes away meanwhile has no processes
		}
		procs, _ := os.ReadFile(path)
		pids = append(pids, strings.Fields(string(procs))...)
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	return pids
}

func TestALiveLabIsNotSwept(t *testing.T) {
	l := theLab(t)
	old := time.Now().Add(-2 * youngest)
	if err := os.Chtimes(l.cgroup, old, old); err != nil {
		t.Fatal(err)
	}
	if err := sweepCgroups(); err != nil {
		t.Fatal(err)
	}
	if !populated(l.cgroup) {
		t.Error("it was taken for one that is left")
	}
}
