package process

import (
	"context"
	"fmt"
	"os/exec"
	"slices"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"reconciler.dev/reconciler/internal/pidfd"
	"reconciler.dev/reconciler/pkg/drivers/driverstest"
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

// bareStart starts n processes with as little as can be, and bareStop ends them.
func bareStart(b *testing.B, n int) (time.Duration, []*exec.Cmd) {
	return driverstest.BareStart(b, n, func(int) *syscall.SysProcAttr { return &syscall.SysProcAttr{Setsid: true} })
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
	driverstest.Many{
		Kind: spec.DriverProcess, N: many, Workers: workers, Rest: 2 * clockStep,
		Bare: func() (time.Duration, time.Duration) {
			start, cmds := bareStart(b, many)
			return start, bareStop(cmds)
		},
		Fresh: func() (*driverstest.Rig, func() *driverstest.Rig) {
			r := newRig(b)
			return &r.Rig, func() *driverstest.Rig { return &r.another().Rig }
		},
	}.Run(b)
}

// BenchmarkRestart kills one of 100 daemons and takes the time until its replacement has executed its program, beside the bare kernel's: a pidfd that wakes, and an exec.
func BenchmarkRestart(b *testing.B) {
	r := newRig(b)
	ds, names := manyWants(100)
	r.Each(spec.VerbStart, ds, workers)
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
		o := r.Look(names[i])
		time.Sleep(2 * time.Millisecond)
		for len(heard) > 0 {
			<-heard
		}
		began := time.Now()
		unix.Kill(o.Instance.PID, unix.SIGKILL)
		for <-heard != names[i] {
		}
		told = append(told, time.Since(began))
		s := r.Step(spec.VerbStart, ds[i]) // looks
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
