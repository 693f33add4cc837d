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

	"golang.org/x/sys/unix"
)

// cgroup measures the cgroup driver on a host with a writable cgroup v2, beside a bare loop of mkdir and clone3.
func (b *bench) cgroup(ctx context.Context) (rows []row, err error) {
	root, err := cgroupRoot()
	if err != nil {
		return nil, err
	}
	var startFloors, stopFloors figures
	var ours startStop
	for range b.rounds {
		l := leaves{parent: filepath.Join(root, "bench-floor")}
		started, err := b.leavesFloor(ctx, &l)
		stopped, stopErr := l.kill()
		if err := errors.Join(err, stopErr); err != nil {
			return nil, err
		}
		startFloors.took(started)
		stopFloors.took(stopped)
		if err := b.startStopOurs(ctx, &ours); err != nil {
			return nil, err
		}
		b.progress("cgroup, start %d: floor %s ms, ours %s ms", b.n, short(startFloors[len(startFloors)-1]), short(ours.started[len(ours.started)-1]))
	}
	healFloor, err := b.healFloor(ctx, b.few, b.kills)
	if err != nil {
		return nil, err
	}
	healed, err := b.healOurs(ctx)
	if err != nil {
		return nil, err
	}
	limits, err := b.limits(ctx)
	if err != nil {
		return nil, err
	}
	return []row{
		{what: fmt.Sprintf("cgroup, apply: start of %d, a leaf each, to the last main()", b.n), unit: "ms", ours: ours.started, floor: startFloors, bar: 1.5},
		{what: fmt.Sprintf("cgroup, apply: nothing to do, %d in %d files", b.n, b.n), unit: "ms", ours: ours.noop},
		{what: fmt.Sprintf("cgroup, stop of %d, to the last end", b.n), unit: "ms", ours: ours.gone, floor: stopFloors, bar: 4},
		{what: fmt.Sprintf("cgroup, run: kill -9 to the replacement's main(), %d running", b.few), unit: "ms", ours: healed, floor: healFloor, bar: 3},
		{what: "cgroup, apply: a changed limit, each", unit: "ms", ours: limits, bar: 1},
	}, nil
}

// limits changes a limit of every daemon of a running fleet, and returns what one of them took.
func (b *bench) limits(ctx context.Context) (each figures, err error) {
	f, err := b.fleet(b.n)
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, f.remove(context.WithoutCancel(ctx))) }()
	if _, err := f.do(ctx, "apply", "-f", f.manifests); err != nil {
		return nil, err
	}
	for k := range b.rounds {
		for _, n := range f.names {
			if err := f.declare(n, fmt.Sprintf("  cgroup: {pidsLimit: %d}\n", 100+k)); err != nil {
				return nil, err
			}
		}
		took, err := f.do(ctx, "apply", "-f", f.manifests)
		if err != nil {
			return nil, err
		}
		each.took(took / time.Duration(b.n))
	}
	all, err := f.mains.read(0)
	if err == nil && len(all) != b.n {
		err = fmt.Errorf("%d mains began for %d daemons: a changed limit restarted some", len(all), b.n)
	}
	return each, err
}

// leaves are cgroups with a process each, below one parent.
type leaves struct {
	parent string
	all    []*exec.Cmd
	dirs   []string
}

// leavesFloor is mkdir and clone3 into it, one after the other, until the last one's main().
func (b *bench) leavesFloor(ctx context.Context, l *leaves) (time.Duration, error) {
	if err := os.Mkdir(l.parent, 0o755); err != nil {
		return 0, err
	}
	m := b.freshMains()
	t0 := time.Now()
	for i := range b.n {
		if err := l.start(exec.Command(b.tinyd, string(m), strconv.Itoa(i)), i); err != nil {
			return 0, err
		}
	}
	began, err := m.await(ctx, 0, b.n)
	if err != nil {
		return 0, err
	}
	return last(began).Sub(t0), nil
}

func (l *leaves) start(cmd *exec.Cmd, i int) error {
	dir := filepath.Join(l.parent, strconv.Itoa(i))
	if err := os.Mkdir(dir, 0o755); err != nil {
		return err
	}
	l.dirs = append(l.dirs, dir)
	fd, err := unix.Open(dir, unix.O_PATH|unix.O_DIRECTORY|unix.O_CLOEXEC, 0)
	if err != nil {
		return err
	}
	defer unix.Close(fd)
	cmd.SysProcAttr = &syscall.SysProcAttr{UseCgroupFD: true, CgroupFD: fd}
	if err := cmd.Start(); err != nil {
		return fmt.Errorf("start tinyd in %s: %w", dir, err)
	}
	l.all = append(l.all, cmd)
	return nil
}

// kill is one cgroup.kill of the parent and a wait for each process. It removes the cgroups.
func (l *leaves) kill() (time.Duration, error) {
	t0 := time.Now()
	errs := []error{os.WriteFile(filepath.Join(l.parent, "cgroup.kill"), []byte("1"), 0)}
	for _, cmd := range l.all {
		var ended *exec.ExitError
		if err := cmd.Wait(); !errors.As(err, &ended) {
			errs = append(errs, fmt.Errorf("wait for tinyd: %v", err))
		}
	}
	took := time.Since(t0)
	for _, dir := range append(l.dirs, l.parent) {
		errs = append(errs, os.Remove(dir))
	}
	return took, errors.Join(errs...)
}

// cgroupRoot is where cgroup v2 is mounted.
func cgroupRoot() (string, error) {
	mounts, err := os.ReadFile("/proc/self/mountinfo")
	if err != nil {
		return "", err
	}
	for line := range bytes.Lines(mounts) {
		before, after, _ := strings.Cut(string(line), " - ")
		if fields := strings.Fields(before); len(fields) > 4 && strings.HasPrefix(after, "cgroup2 ") {
			return fields[4], nil
		}
	}
	return "", errors.New("cgroup v2 isn't mounted")
}
