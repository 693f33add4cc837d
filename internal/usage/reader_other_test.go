//go:build !linux

package usage

import (
	"bufio"
	"io"
	"net"
	"os"
	"os/exec"
	"runtime"
	"slices"
	"testing"
	"time"

	psnet "github.com/shirou/gopsutil/v4/net"

	"reconciler.dev/reconciler/pkg/spec"
)

const (
	helperEnv = "USAGE_TEST_HELPER"
	helped    = 48 << 20 // bytes that the helper has in memory
	burned    = 300 * time.Millisecond
)

// TestMain is the helper where it was started as that: it fills its memory, and computes for burned each time that it reads a line, until stdin ends.
func TestMain(m *testing.M) {
	if os.Getenv(helperEnv) == "" {
		os.Exit(m.Run())
	}
	held := make([]byte, helped)
	for i := range held {
		held[i] = byte(i)
	}
	lines := bufio.NewScanner(os.Stdin)
	for lines.Scan() {
		for began := time.Now(); time.Since(began) < burned; {
			held[0]++
		}
		os.Stdout.WriteString("done\n")
	}
}

// helper starts one, which ends with the test, and returns its number and what has it compute.
func helper(t *testing.T) (pid int, compute func()) {
	t.Helper()
	cmd := exec.Command(os.Args[0])
	cmd.Env = append(os.Environ(), helperEnv+"=1")
	in, err := cmd.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		in.Close()
		if err := cmd.Wait(); err != nil {
			t.Error(err)
		}
	})
	said := bufio.NewReader(out)
	return cmd.Process.Pid, func() {
		t.Helper()
		if _, err := io.WriteString(in, "compute\n"); err != nil {
			t.Fatal(err)
		}
		if _, err := said.ReadString('\n'); err != nil {
			t.Fatal(err)
		}
	}
}

// known tells whether a figure was found out. One that wasn't has a reason.
func known(t *testing.T, s spec.Sample, field string, found bool) bool {
	t.Helper()
	why := slices.IndexFunc(s.Missing, func(l spec.Loss) bool { return l.Field == field })
	switch {
	case found && why >= 0:
		t.Errorf("%s is known, and missing: %s", field, s.Missing[why].Reason)
	case !found && why < 0:
		t.Errorf("%s isn't known, and nothing says why: %+v", field, s.Missing)
	case !found:
		t.Logf("%s: %s", field, s.Missing[why].Reason)
	}
	return found
}

// TestATreeIsCountedTogether: this process and one beside it, as the platform tells of them; what it doesn't tell has a reason.
func TestATreeIsCountedTogether(t *testing.T) {
	pid, compute := helper(t)
	compute()
	l, err := net.Listen("tcp4", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	var r Reader
	read := func() spec.Sample {
		r.Begin()
		defer r.Rest()
		s := spec.Sample{Name: "web", State: spec.Running, Instance: "i1"}
		r.Read(t.Context(), &s, Subject{PIDs: []int{pid, os.Getpid()}})
		r.Ports(t.Context(), &s)
		return s
	}
	began, before := time.Now(), read()
	compute()
	after := read()
	if len(after.PIDs) != 2 {
		t.Errorf("it has the processes %v", after.PIDs)
	}
	if known(t, after, "cpu", after.CPU.Usage != nil) {
		used := func() time.Duration { return *after.CPU.Usage - *before.CPU.Usage }
		for used() < burned/3 && time.Since(began) < time.Minute { // it may have to wait for a processor
			compute()
			after = read()
		}
		if most := time.Since(began) * time.Duration(runtime.NumCPU()); used() < burned/3 || used() > most {
			t.Errorf("in %v they used %v of %v", time.Since(began), used(), most)
		}
		if *after.CPU.Usage != *after.CPU.User+*after.CPU.System {
			t.Errorf("CPU %v isn't the sum of %v and %v", *after.CPU.Usage, *after.CPU.User, *after.CPU.System)
		}
	}
	if known(t, after, "memory.current", after.Memory.Current != nil) && (*after.Memory.Current < helped || *after.Memory.Current > 1<<30) {
		t.Errorf("one of them filled %d bytes, and they say %d", helped, *after.Memory.Current)
	}
	if known(t, after, "tasks", after.Tasks != nil) && *after.Tasks < 2 {
		t.Errorf("%d tasks of two processes", *after.Tasks)
	}
	known(t, after, "io", after.IO.ReadBytes != nil)
	known(t, after, "openFiles", after.OpenFiles != nil)
	known(t, after, "pressure", after.Pressure.CPU != nil)
	want := spec.Port{Network: "tcp", Address: "127.0.0.1", Port: l.Addr().(*net.TCPAddr).Port, PID: os.Getpid()}
	if known(t, after, "ports", after.Ports != nil) && !slices.Contains(after.Ports, want) && !nobodys(t, want) {
		t.Errorf("it listens on %v, and they say %v", want, after.Ports)
	}
}

// nobodys tells whether the system knows a socket and not whose it is, as Wine does.
func nobodys(t *testing.T, p spec.Port) bool {
	t.Helper()
	all, err := psnet.ConnectionsWithContext(t.Context(), "inet")
	if err != nil {
		t.Fatal(err)
	}
	return slices.ContainsFunc(all, func(c psnet.ConnectionStat) bool {
		return c.Pid == 0 && c.Status == "LISTEN" && c.Laddr.IP == p.Address && int(c.Laddr.Port) == p.Port
	})
}

// TestAProcessThatHasGoneTakesNothingBack: what it used stays counted, and the figures are those of who lives.
func TestAProcessThatHasGoneTakesNothingBack(t *testing.T) {
	var r Reader
	read := func(pids ...int) spec.Sample {
		r.Begin()
		s := spec.Sample{Name: "web", State: spec.Running, Instance: "i1"}
		r.Read(t.Context(), &s, Subject{PIDs: pids})
		return s
	}
	var with spec.Sample
	t.Run("while it lives", func(t *testing.T) {
		pid, compute := helper(t)
		compute()
		with = read(pid, os.Getpid())
	})
	without := read(os.Getpid())
	if *without.CPU.Usage < *with.CPU.Usage {
		t.Errorf("they had used %v, and now %v", *with.CPU.Usage, *without.CPU.Usage)
	}
	if *without.Memory.Current >= *with.Memory.Current {
		t.Errorf("they had %d bytes of memory, and without one of them %d", *with.Memory.Current, *without.Memory.Current)
	}
}
