package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"time"
)

// loop is a `reconciler run` in the background.
type loop struct {
	cmd  *exec.Cmd
	said *bytes.Buffer
}

// keep starts a run of the fleet and waits until all of it is up.
func (f *fleet) keep(ctx context.Context, more ...string) (*loop, error) {
	l := &loop{cmd: f.command(ctx, append([]string{"run", "-f", f.manifests}, more...)...), said: &bytes.Buffer{}}
	l.cmd.Stdout, l.cmd.Stderr = l.said, l.said
	if err := l.cmd.Start(); err != nil {
		return nil, fmt.Errorf("reconciler run: %w", err)
	}
	if _, err := f.mains.await(ctx, 0, len(f.names)); err != nil {
		return nil, errors.Join(err, l.end())
	}
	return l, nil
}

// end asks the run to end, as ^C does, and waits for it. Its daemons stay.
func (l *loop) end() error {
	if err := l.cmd.Process.Signal(syscall.SIGTERM); err != nil {
		return errors.Join(fmt.Errorf("reconciler run ended early: %w\n%s", err, tail(l.said.String(), 20)), l.cmd.Wait())
	}
	var ended *exec.ExitError
	if err := l.cmd.Wait(); err != nil && !errors.As(err, &ended) {
		return fmt.Errorf("wait for reconciler run: %w", err)
	}
	return nil
}

// healOurs kills daemons of a run one by one, each up for longer than settle, and returns kill to the replacement's main().
func (b *bench) healOurs(ctx context.Context) (took figures, err error) {
	f, err := b.fleet(b.few)
	if err != nil {
		return nil, err
	}
	l, err := f.keep(ctx)
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, l.end(), f.remove(context.WithoutCancel(ctx))) }()
	victims, err := f.mains.read(0)
	if err != nil {
		return nil, err
	}
	if err := pause(ctx, settle); err != nil {
		return nil, err
	}
	for k := range b.kills {
		t0 := time.Now()
		if err := syscall.Kill(victims[k].pid, syscall.SIGKILL); err != nil {
			return nil, fmt.Errorf("kill -9 %d: %w", victims[k].pid, err)
		}
		again, err := f.mains.await(ctx, b.few+k, 1)
		if err != nil {
			return nil, err
		}
		if len(again) != 1 || again[0].id != victims[k].id {
			return nil, fmt.Errorf("kill -9 of %s was followed by %d starts: %v", victims[k].id, len(again), again)
		}
		took.took(again[0].at.Sub(t0))
		if err := pause(ctx, between); err != nil {
			return nil, err
		}
	}
	b.progress("heal: ours %s", took.text("ms"))
	return took, nil
}

// idleRun measures what a run costs that has nothing to do: with few daemons its memory, with n also its CPU time.
func (b *bench) idleRun(ctx context.Context) ([]row, error) {
	if b.reconciler == "" {
		return nil, nil
	}
	small, err := b.idleOf(ctx, b.few, 0)
	if err != nil {
		return nil, err
	}
	big, err := b.idleOf(ctx, b.n, b.idle)
	if err != nil {
		return nil, err
	}
	minute := big.cpu.Seconds() * float64(time.Minute) / float64(b.idle)
	each := (big.pss - small.pss) / float64(b.n-b.few)
	return []row{
		{what: fmt.Sprintf("run: CPU seconds a minute, idle with %d", b.n), unit: "s", ours: figures{minute}, bar: 0.0005, peer: "0.0001 process-compose, 0.0003 systemd"},
		{what: fmt.Sprintf("run: PSS with %d", b.n), unit: "MB", ours: figures{big.pss / 1000}, bar: 25, peer: "10.0 MB systemd"},
		{what: "run: PSS of a further daemon", unit: "kB", ours: figures{each}, bar: 10, peer: "6 kB systemd"},
		{what: fmt.Sprintf("run: threads more with %d than with %d", b.n, b.few), unit: "", ours: figures{float64(big.threads - small.threads)}, bar: 8},
		{what: fmt.Sprintf("run: threads with %d", b.n), unit: "", ours: figures{float64(big.threads)}},
	}, nil
}

// cost is what a process takes.
type cost struct {
	cpu     time.Duration
	pss     float64 // kB
	threads int
}

// quiet is how long a run gets to come to rest.
const quiet = 10 * time.Second

func (b *bench) idleOf(ctx context.Context, n int, window time.Duration) (c cost, err error) {
	f, err := b.fleet(n)
	if err != nil {
		return c, err
	}
	l, err := f.keep(ctx)
	if err != nil {
		return c, err
	}
	defer func() { err = errors.Join(err, l.end(), f.remove(context.WithoutCancel(ctx))) }()
	if err := pause(ctx, quiet); err != nil {
		return c, err
	}
	before, err := costOf(l.cmd.Process.Pid)
	if err != nil {
		return c, err
	}
	if err := pause(ctx, window); err != nil {
		return c, err
	}
	c, err = costOf(l.cmd.Process.Pid)
	c.cpu -= before.cpu
	b.progress("idle with %d: %s CPU in %s, PSS %.0f kB, %d threads", n, c.cpu, window, c.pss, c.threads)
	return c, err
}

// costOf reads /proc: the CPU time of all threads in nanoseconds (schedstat), PSS (smaps_rollup) and the threads.
func costOf(pid int) (c cost, err error) {
	dir := filepath.Join("/proc", strconv.Itoa(pid))
	tasks, err := filepath.Glob(filepath.Join(dir, "task", "*", "schedstat"))
	if err != nil {
		return c, err
	}
	c.threads = len(tasks)
	for _, t := range tasks {
		text, err := os.ReadFile(t)
		if err != nil {
			return c, err
		}
		ns, err := strconv.ParseInt(strings.Fields(string(text))[0], 10, 64)
		if err != nil {
			return c, fmt.Errorf("%s: %w", t, err)
		}
		c.cpu += time.Duration(ns)
	}
	rollup, err := os.ReadFile(filepath.Join(dir, "smaps_rollup"))
	if err != nil {
		return c, err
	}
	for line := range strings.Lines(string(rollup)) {
		if kb, ok := strings.CutPrefix(line, "Pss:"); ok {
			_, err := fmt.Sscan(kb, &c.pss)
			return c, err
		}
	}
	return c, fmt.Errorf("%s/smaps_rollup has no Pss", dir)
}
