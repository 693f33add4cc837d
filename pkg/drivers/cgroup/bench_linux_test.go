package cgroup

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"sync"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"reconciler.dev/reconciler/internal/layout"
	"reconciler.dev/reconciler/pkg/spec"
)

// many is how many daemons a machine full of them has.
const many = 500

// bareStart makes a group for each of n processes and starts them in it, with as little as can be. bareStop kills them by a group above.
func bareStart(b *testing.B, top string, n int) (time.Duration, []*exec.Cmd) {
	out, err := os.OpenFile(os.DevNull, os.O_WRONLY, 0)
	if err != nil {
		b.Fatal(err)
	}
	defer out.Close()
	cmds := make([]*exec.Cmd, n)
	began := time.Now()
	for i := range cmds {
		dir := filepath.Join(top, fmt.Sprint(i))
		if err := os.Mkdir(dir, 0o755); err != nil {
			b.Fatal(err)
		}
		fd, err := unix.Open(dir, unix.O_PATH|unix.O_DIRECTORY|unix.O_CLOEXEC, 0)
		if err != nil {
			b.Fatal(err)
		}
		cmds[i] = exec.Command("/bin/sleep", "1000")
		cmds[i].Stdout, cmds[i].Stderr, cmds[i].SysProcAttr = out, out, &syscall.SysProcAttr{Setsid: true, UseCgroupFD: true, CgroupFD: fd}
		if err := cmds[i].Start(); err != nil {
			b.Fatal(err)
		}
		unix.Close(fd)
	}
	return time.Since(began), cmds
}

func bareStop(b *testing.B, top string, cmds []*exec.Cmd) time.Duration {
	began := time.Now()
	if err := writeFile(filepath.Join(top, "cgroup.kill"), "1"); err != nil {
		b.Fatal(err)
	}
	for _, c := range cmds {
		c.Wait()
	}
	took := time.Since(began)
	if err := rmdir(top); err != nil {
		b.Fatal(err)
	}
	return took
}

// BenchmarkManyDaemons starts, looks at and stops 500 daemons in leaves, each beside what the bare kernel takes for it.
func BenchmarkManyDaemons(b *testing.B) {
	var start, stop, bareStarts, bareStops, look, again []time.Duration
	for b.Loop() {
		group := below(b)
		sub, err := findSubtree(group)
		if err != nil {
			b.Fatal(err)
		}
		top := filepath.Join(sub.dir(group), "bare")
		if err := os.Mkdir(top, 0o755); err != nil {
			b.Fatal(err)
		}
		t, cmds := bareStart(b, top, many)
		bareStarts = append(bareStarts, t)
		bareStops = append(bareStops, bareStop(b, top, cmds))

		r := newRig(b, layout.Under(b.TempDir()), group)
		var ds []*spec.Daemon
		var names []string
		for i := range many {
			ds = append(ds, want(fmt.Sprintf("d%03d", i), "/bin/sleep", "1000"))
			names = append(names, ds[i].Name)
		}
		start = append(start, r.each(spec.VerbStart, ds, 8))
		for _, times := range []*[]time.Duration{&look, &again} {
			if times == &look {
				r = r.another()
			}
			began := time.Now()
			found, err := r.Observe(b.Context(), names...)
			if err != nil {
				b.Fatal(err)
			}
			*times = append(*times, time.Since(began))
			for _, o := range found {
				if o.State != spec.Running {
					b.Fatalf("%s is %s", o.Name, o.State)
				}
			}
			time.Sleep(100 * time.Millisecond)
		}
		stop = append(stop, r.each(spec.VerbStop, ds, many))
	}
	for name, times := range map[string][]time.Duration{"start-ms": start, "bare-start-ms": bareStarts, "stop-ms": stop, "bare-stop-ms": bareStops, "observe-ms": look, "observe-again-ms": again} {
		slices.Sort(times)
		b.ReportMetric(float64(times[len(times)/2].Microseconds())/1000, name)
	}
	b.ReportMetric(0, "ns/op")
}

// each does a step for each daemon, n at a time.
func (r *rig) each(verb spec.Verb, ds []*spec.Daemon, n int) time.Duration {
	todo := make(chan spec.Step, len(ds))
	for _, d := range ds {
		todo <- r.step(verb, d)
	}
	close(todo)
	began := time.Now()
	var wg sync.WaitGroup
	for range n {
		wg.Go(func() {
			for s := range todo {
				if err := r.Apply(r.Context(), s); err != nil {
					r.Error(err)
				}
			}
		})
	}
	wg.Wait()
	return time.Since(began)
}
