package labhost

import (
	"errors"
	"net"
	"os"
	"os/exec"
	"strings"
	"syscall"
	"testing"
)

// The kernel of a machine has the controllers that this one may lack, and they are at work.
func TestLimits(t *testing.T) {
	for kind, hog := range map[Kind]func(t *testing.T){Limits: hogOfCgroup, LimitsSystemd: hogOfSystemd} {
		t.Run(string(kind), func(t *testing.T) {
			t.Parallel()
			Test(t, kind, func(t *testing.T) {
				have, err := os.ReadFile("/sys/fs/cgroup/cgroup.controllers")
				if err != nil {
					t.Fatal(err)
				}
				for _, want := range []string{"cpu", "io", "memory", "pids"} {
					if !strings.Contains(" "+strings.TrimSpace(string(have))+" ", " "+want+" ") {
						t.Errorf("there is no controller %s, only %s", want, have)
					}
				}
				l, err := net.Listen("tcp", "127.0.0.1:0")
				if err != nil {
					t.Fatal(err)
				}
				defer l.Close()
				conn, err := net.Dial("tcp", l.Addr().String())
				if err != nil {
					t.Fatal(err)
				}
				conn.Close()
				hog(t)
			})
		})
	}
}

// hogOfCgroup uses more memory than its cgroup may.
func hogOfCgroup(t *testing.T) {
	const cgroup = "/sys/fs/cgroup/hog"
	dir, err := makeCgroup(cgroup)
	if err != nil {
		t.Fatal(err)
	}
	defer dir.Close()
	for _, w := range []struct{ file, value string }{{"/sys/fs/cgroup/cgroup.subtree_control", "+memory"}, {cgroup + "/memory.max", "16M"}} {
		if err := os.WriteFile(w.file, []byte(w.value), 0); err != nil {
			t.Fatal(err)
		}
	}
	hog := exec.Command("tail", "/dev/zero")
	hog.SysProcAttr = &syscall.SysProcAttr{UseCgroupFD: true, CgroupFD: int(dir.Fd())}
	var exit *exec.ExitError
	if err := hog.Run(); !errors.As(err, &exit) || exit.Sys().(syscall.WaitStatus).Signal() != syscall.SIGKILL {
		t.Errorf("it ended with %v", err)
	}
	if events, err := os.ReadFile(cgroup + "/memory.events"); err != nil || !strings.Contains(string(events), "oom_kill 1\n") {
		t.Errorf("%v: memory.events: %s", err, events)
	}
}

// hogOfSystemd uses more memory than its unit may.
func hogOfSystemd(t *testing.T) {
	out, err := exec.Command("systemd-run", "--wait", "--property=MemoryMax=16M", "tail", "/dev/zero").CombinedOutput()
	if err == nil || !strings.Contains(string(out), "result: oom-kill") {
		t.Errorf("%v: %s", err, out)
	}
}
