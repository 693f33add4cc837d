package process

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"slices"
	"sync"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"reconciler.dev/reconciler/internal/pidfd"
	"reconciler.dev/reconciler/pkg/spec"
)

// many is how many daemons a machine full of them has.
const many = 500

// workers is how many steps are done side by side.
const workers = 8

// manyWants are daemons that do nothing.
func manyWants(n int) (ds []*spec.Daemon, names []string) {
	for i := range n {
		names = append(names, fmt.Sprintf("d%03d", i))
		ds = append(ds, want(names[i], "/bin/sleep", "1000"))
	}
	return ds, names
}

// each does a step for each daemon, workers at a time.
func (r *rig) each(verb spec.Verb, ds []*spec.Daemon, n int) time.Duration {
	steps := make([]spec.Step, len(ds))
	for i, d := range ds {
		steps[i] = r.step(verb, d)
	}
	todo := make(chan spec.Step, len(steps))
	for _, s := range steps {
		todo <- s
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

// bareStart starts n processes with as little as can be, and bareStop ends them.
func bareStart(b *testing.B, n int) (time.Duration, []*exec.Cmd) {
	out, err := os.OpenFile(os.DevNull, os.O_WRONLY, 0)
	if err != nil {
		b.Fatal(err)
	}
	defer out.Close()
	cmds := make([]*exec.Cmd, n)
	began := time.Now()
	for i := range cmds {
		cmds[i] = exec.Command("/bin/sleep", "1000")
		cmds[i].Stdout, cmds[i].Stderr, cmds[i].SysProcAttr = out, out, &syscall.SysProcAttr{Setsid: true}
		if err := cmds[i].Start(); err != nil {
			b.Fatal(err)
		}
	}
	return time.Since(began), cmds
}

func bareStop(cmds []*exec.Cmd) time.Duration {
	began := time.Now()
	for _, c := range cmds {
		unix.Kill(c.Process.Pid, unix.SIGTERM)
	}
	for _, c := range cmds {
		var s syscall.WaitStatus
		syscall.Wait4(c.Process.Pid, &s, 0, nil)
	}
	took := time.Since(began)
	for _, c := range cmds {
		c.Process.Release()
	}
	return took
}

func ms(d time.Duration) float64 { return float64(d.Microseconds()) / 1000 }

// BenchmarkManyDaemons starts, looks at and stops 500 daemons, each beside what the bare kernel takes for it.
func BenchmarkManyDaemons(b *testing.B) {
	var start, stop, bareStarts, bareStops, look, again []time.Duration
	for b.Loop() {
		t, cmds := bareStart(b, many)
		bareStarts = append(bareStarts, t)
		bareStops = append(bareStops, bareStop(cmds))

		r := newRig(b)
		ds, names := manyWants(many)
		start = append(start, r.each(spec.VerbStart, ds, workers))
		for _, times := range []*[]time.Duration{&look, &again} {
			if times == &look {
				r = r.another() // what a command sees that has just begun
			}
			began := time.Now()
			found, err := r.Observe(context.Background(), names...)
			if err != nil {
				b.Fatal(err)
			}
			*times = append(*times, time.Since(began))
			for _, o := range found {
				if o.State != spec.Running {
					b.Fatalf("%s is %s", o.Name, o.State)
				}
			}
			time.Sleep(2 * clockStep)
		}
		stop = append(stop, r.each(spec.VerbStop, ds, many))
	}
	for name, times := range map[string][]time.Duration{"start-ms": start, "bare-start-ms": bareStarts, "stop-ms": stop, "bare-stop-ms": bareStops, "observe-ms": look, "observe-again-ms": again} {
		slices.Sort(times)
		b.ReportMetric(ms(times[len(times)/2]), name)
	}
	b.ReportMetric(0, "ns/op")
}

// BenchmarkRestart kills one of 100 daemons and takes the time until its replacement has executed its program, beside the bare kernel's: a pidfd that wakes, and an exec.
func BenchmarkRestart(b *testing.B) {
	r := newRig(b)
	ds, names := manyWants(100)
	r.each(spec.VerbStart, ds, workers)
	heard := make(chan string, 1000)
	ctx, cancel := context.WithCancel(context.Background())
	watching := make(chan error, 1)
	go func() { watching <- r.Watch(ctx, func(name string) { heard <- name }) }()
	for name := range heard {
		if name == "" {
			break
		}
	}
	var ours, told []time.Duration
	i := 0
	for b.Loop() {
		i = (i + 1) % len(ds)
		o := r.look1(names[i])
		time.Sleep(2 * time.Millisecond)
		for len(heard) > 0 {
			<-heard
		}
		began := time.Now()
		unix.Kill(o.Instance.PID, unix.SIGKILL)
		for <-heard != names[i] {
		}
		told = append(told, time.Since(began))
		s := r.step(spec.VerbStart, ds[i]) // looks
		s.Restart = true
		if err := r.Apply(ctx, s); err != nil {
			b.Fatal(err)
		}
		ours = append(ours, time.Since(began))
	}
	cancel()
	<-watching
	slices.Sort(ours)
	slices.Sort(told)
	b.ReportMetric(ms(told[len(told)/2]), "told-ms")
	b.ReportMetric(ms(ours[len(ours)/2]), "restart-ms")
	b.ReportMetric(ms(ours[len(ours)*9/10]), "restart-p90-ms")
	bare := bareRestarts(b, 100)
	b.ReportMetric(ms(bare[len(bare)/2]), "bare-restart-ms")
	b.ReportMetric(0, "ns/op")
}

// bareRestarts takes the time from a kill to a pidfd that wakes a goroutine and an exec, n times.
func bareRestarts(b *testing.B, n int) (times []time.Duration) {
	_, cmds := bareStart(b, 1)
	cmd := cmds[0]
	var p pidfd.Poller
	for range n {
		fd, err := pidfd.Open(cmd.Process.Pid)
		if err != nil {
			b.Fatal(err)
		}
		ended := make(chan struct{})
		if _, err := p.Add(fd, func() { close(ended) }); err != nil {
			b.Fatal(err)
		}
		time.Sleep(2 * time.Millisecond)
		began := time.Now()
		unix.Kill(cmd.Process.Pid, unix.SIGKILL)
		<-ended
		_, next := bareStart(b, 1)
		times = append(times, time.Since(began))
		cmd.Wait()
		fd.Close()
		cmd = next[0]
	}
	cmd.Process.Kill()
	cmd.Wait()
	slices.Sort(times)
	return times
}
