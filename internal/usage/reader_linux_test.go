package usage

import (
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"reconciler.dev/reconciler/internal/procfs"
	"reconciler.dev/reconciler/pkg/spec"
)

// groupDir is a directory with the files of a cgroup of that kernel.
func groupDir(t *testing.T, files map[string]string) string {
	t.Helper()
	dir := t.TempDir()
	for name, text := range files {
		write(t, filepath.Join(dir, name), text)
	}
	return dir
}

func write(t *testing.T, path, text string) {
	t.Helper()
	if err := os.WriteFile(path, []byte(text), 0o644); err != nil {
		t.Fatal(err)
	}
}

func full() map[string]string {
	return map[string]string{
		"cgroup.controllers": "cpu io memory pids\n", "cgroup.procs": fmt.Sprintf("%d\n", os.Getpid()),
		"cpu.stat": "usage_usec 3000000\nuser_usec 2000000\nsystem_usec 1000000\nnr_periods 10\nnr_throttled 5\nthrottled_usec 700\n", "cpu.max": "50000 100000\n",
		"memory.current": "4096000\n", "memory.peak": "5000000\n", "memory.max": "8192000\n", "memory.stat": "anon 100\nfile 200\nkernel 3\n", "memory.events": "low 0\noom 2\noom_kill 1\n",
		"io.stat": "8:0 rbytes=10 wbytes=20 rios=1 wios=2\n", "pids.current": "7\n", "pids.max": "max\n",
		"cpu.pressure": "some avg10=1.50 avg60=0 avg300=0 total=9\n", "memory.pressure": "some avg10=0 avg60=0 avg300=0 total=0\n", "io.pressure": "some avg10=0 avg60=0 avg300=0 total=0\n",
	}
}

func readGroup(t *testing.T, r *Reader, dir string) spec.Sample {
	t.Helper()
	r.Begin()
	s := spec.Sample{Name: "web", State: spec.Running, Instance: "i1"}
	r.Read(t.Context(), &s, Subject{Dir: dir})
	return s
}

func TestAllControllers(t *testing.T) {
	s := readGroup(t, &Reader{}, groupDir(t, full()))
	if *s.CPU.Usage != 3*time.Second || *s.CPU.Limit != 500 || *s.CPU.ThrottledPeriods != 5 {
		t.Errorf("CPU %+v", s.CPU)
	}
	if m := s.Memory; *m.Current != 4096000 || *m.Anon != 100 || *m.File != 200 || *m.Peak != 5000000 || *m.Limit != 8192000 || *s.OOMKills != 1 {
		t.Errorf("memory %+v", m)
	}
	if *s.IO.WriteBytes != 20 || *s.Tasks != 7 || *s.TaskLimit != spec.Unbounded || s.Pressure.CPU.Some.Avg10 != 1.5 || *s.OpenFiles < 3 || !slices.Equal(s.PIDs, []int{os.Getpid()}) {
		t.Errorf("got %+v", s)
	}
}

// TestWithoutControllersTheProcessesAreAsked: CPU time is counted by every cgroup, the rest is taken from /proc.
func TestWithoutControllersTheProcessesAreAsked(t *testing.T) {
	files := full()
	for name := range files {
		if strings.HasPrefix(name, "memory.") || strings.HasPrefix(name, "io.") || strings.HasPrefix(name, "pids.") || name == "cpu.max" {
			delete(files, name)
		}
	}
	files["cgroup.controllers"] = "\n"
	s := readGroup(t, &Reader{}, groupDir(t, files))
	if *s.CPU.Usage != 3*time.Second || *s.CPU.Limit != spec.Unbounded || *s.Memory.Limit != spec.Unbounded || *s.Memory.Current < 1<<20 || *s.Tasks < 2 || s.IO.ReadBytes == nil {
		t.Errorf("got %+v", s)
	}
	if s.Memory.Peak != nil || s.OOMKills != nil {
		t.Errorf("nobody counts it, and it is said to be %v, %v", s.Memory.Peak, s.OOMKills)
	}
	for _, field := range []string{"memory.peak", "oomKills"} {
		if !slices.ContainsFunc(s.Missing, func(l spec.Loss) bool { return l.Field == field && strings.Contains(l.Reason, "memory controller") }) {
			t.Errorf("missing is %+v, without %s", s.Missing, field)
		}
	}
}

func TestWhatCantBeReadIsMissingWithItsReason(t *testing.T) {
	for file, field := range map[string]string{"cpu.stat": "cpu", "memory.current": "memory.current", "io.stat": "io", "pids.current": "tasks", "cpu.max": "cpu.limit", "io.pressure": "pressure.io"} {
		files := full()
		files[file] = "nonsense\n"
		s := readGroup(t, &Reader{}, groupDir(t, files))
		if !slices.ContainsFunc(s.Missing, func(l spec.Loss) bool { return l.Field == field && strings.Contains(l.Reason, file) }) {
			t.Errorf("%s makes no sense, and missing is %+v", file, s.Missing)
		}
	}
	files := full()
	delete(files, "cpu.pressure")
	if s := readGroup(t, &Reader{}, groupDir(t, files)); s.Pressure.CPU != nil || !strings.Contains(s.Missing[0].Reason, "CONFIG_PSI") {
		t.Errorf("a kernel without PSI: %+v, %+v", s.Pressure.CPU, s.Missing)
	}
	if s := readGroup(t, &Reader{}, filepath.Join(t.TempDir(), "gone")); s.State != spec.Exited || s.CPU.Usage != nil {
		t.Errorf("a cgroup that is gone: %+v", s)
	}
}

// TestProcessesOfGroupsBelowAreTheDaemons as where it has cgroups of its own.
func TestProcessesOfGroupsBelowAreTheDaemons(t *testing.T) {
	files := full()
	files["cgroup.procs"] = ""
	dir := groupDir(t, files)
	if err := os.Mkdir(filepath.Join(dir, "worker"), 0o755); err != nil {
		t.Fatal(err)
	}
	write(t, filepath.Join(dir, "worker", "cgroup.procs"), fmt.Sprintf("0\n%d\n", os.Getpid()))
	if s := readGroup(t, &Reader{}, dir); !slices.Equal(s.PIDs, []int{os.Getpid()}) {
		t.Errorf("its processes are %v", s.PIDs)
	}
}

// TestFilesThatStayOpenSayWhatIsSoNow, also where another cgroup has the name meanwhile; and they are closed.
func TestFilesThatStayOpenSayWhatIsSoNow(t *testing.T) {
	before := open(t)
	r, dir := &Reader{}, groupDir(t, full())
	for _, n := range []string{"1", "22", "3"} {
		write(t, filepath.Join(dir, "memory.current"), n+"\n")
		if s := readGroup(t, r, dir); fmt.Sprint(*s.Memory.Current) != n {
			t.Errorf("it says %d, and it is %s", *s.Memory.Current, n)
		}
	}
	if open(t) <= before {
		t.Error("nothing was held open")
	}
	r.Begin()
	r.Begin() // nothing was read in between
	if n := open(t); n != before {
		t.Errorf("%d files are open that nobody reads", n-before)
	}
	readGroup(t, r, dir)
	r.Rest()
	if n := open(t); n != before {
		t.Errorf("%d files are open after all", n-before)
	}
}

func open(t *testing.T) int {
	t.Helper()
	all, err := os.ReadDir("/proc/self/fd")
	if err != nil {
		t.Fatal(err)
	}
	return len(all)
}

// TestATreeIsReadFromProc: this process alone, and with a number that nobody has.
func TestATreeIsReadFromProc(t *testing.T) {
	r := &Reader{}
	r.Begin()
	s := spec.Sample{Name: "web", State: spec.Running, Instance: "i1"}
	r.Read(t.Context(), &s, Subject{PIDs: []int{os.Getpid(), 1 << 22}})
	self := spec.Sample{Name: "self", State: spec.Running, Instance: "i1"}
	r.Read(t.Context(), &self, Subject{PIDs: []int{os.Getpid()}})
	if s.CPU.Usage == nil || *s.CPU.Usage > *self.CPU.Usage || *s.Tasks < 2 || s.Clock > procfs.SinceBoot() {
		t.Errorf("got %+v", s)
	}
	// The first is PSS, the second RSS, which has what is shared with others in it.
	if pss, rss := *s.Memory.Current, *self.Memory.Current; pss < 1<<20 || pss > rss*11/10 {
		t.Errorf("its part is %d bytes of %d", pss, rss)
	}
}

func TestNetworkOfANamespace(t *testing.T) {
	got, err := netDev([]byte("Inter-|   Receive\n face |bytes\n    lo: 5 1 0 0 0 0 0 0 5 1 0 0 0 0 0 0\n  eth0:10 1 0 0 0 0 0 0 20 1 0 0 0 0 0 0\n  eth1: 1 1 0 0 0 0 0 0 2 1 0 0 0 0 0 0\n"))
	if err != nil || *got.RxBytes != 11 || *got.TxBytes != 22 {
		t.Errorf("got %+v, %v", got, err)
	}
	if _, err := netDev([]byte("eth0: 1 2\n")); err == nil {
		t.Error("half a line is taken for counts")
	}
}
