package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"time"

	"golang.org/x/sys/unix"
)

// fleet is n daemons of ours: a manifest each, a state directory and the file that their mains write to.
type fleet struct {
	b         *bench
	manifests string
	state     string
	mains     mains
	names     []string
}

const manifest = `apiVersion: reconciler.dev/v1
kind: DaemonSpec
metadata: {name: %[1]s}
spec:
  driver: %[4]s
  binary: %[2]s
  args: [%[3]s, %[1]s]
%[5]s`

func (b *bench) fleet(n int) (*fleet, error) {
	m := b.freshMains()
	f := &fleet{b: b, mains: m, manifests: string(m) + "-manifests", state: filepath.Join(b.dir, "state-"+filepath.Base(string(m)))}
	if err := os.Mkdir(f.manifests, 0o755); err != nil {
		return nil, err
	}
	if err := b.onTmpfs(f.state); err != nil {
		return nil, err
	}
	for i := range n {
		name := fmt.Sprintf("t%03d", i)
		f.names = append(f.names, name)
		if err := f.declare(name, ""); err != nil {
			return nil, err
		}
	}
	return f, nil
}

// declare writes the manifest of a daemon, with more lines of its spec.
func (f *fleet) declare(name, more string) error {
	text := fmt.Sprintf(manifest, name, f.b.tinyd, string(f.mains), f.b.driver, more)
	return os.WriteFile(filepath.Join(f.manifests, name+".yaml"), []byte(text), 0o644)
}

// onTmpfs puts the records of a state directory where they lie by default: on a tmpfs, as /run is.
func (b *bench) onTmpfs(state string) error {
	if b.fast == "" {
		return nil
	}
	run := filepath.Join(b.fast, filepath.Base(state))
	if err := errors.Join(os.Mkdir(state, 0o755), os.Mkdir(run, 0o700)); err != nil {
		return err
	}
	return os.Symlink(run, filepath.Join(state, "run"))
}

// command prepares reconciler on this fleet's state.
func (f *fleet) command(ctx context.Context, args ...string) *exec.Cmd {
	cmd := exec.CommandContext(ctx, f.b.reconciler, args...)
	cmd.Env = append(os.Environ(), "RECONCILER_STATE_DIR="+f.state, "RECONCILER_DRIVERS="+f.b.driver)
	cmd.Cancel = func() error { return cmd.Process.Signal(os.Interrupt) }
	cmd.WaitDelay = 10 * time.Second
	return cmd
}

// do runs reconciler and returns what the whole command took.
func (f *fleet) do(ctx context.Context, args ...string) (time.Duration, error) {
	var said bytes.Buffer
	cmd := f.command(ctx, args...)
	cmd.Stdout, cmd.Stderr = &said, &said
	t0 := time.Now()
	err := cmd.Run()
	took := time.Since(t0)
	if err != nil {
		return took, fmt.Errorf("reconciler %s: %w\n%s", strings.Join(args[:min(len(args), 4)], " "), err, tail(said.String(), 20))
	}
	return took, nil
}

// remove deletes the fleet's daemons.
func (f *fleet) remove(ctx context.Context) error {
	_, err := f.do(ctx, "delete", "-f", f.manifests)
	return err
}

// startStop are the figures of a fleet's life.
type startStop struct{ started, applied, noop, gone, stopped figures }

// noops is how often an apply with nothing to do is measured in each round.
const noops = 4

// startStopOurs starts a fleet, applies it again with nothing to do, and stops it.
func (b *bench) startStopOurs(ctx context.Context, took *startStop) error {
	return b.startStopFleet(ctx, took, func(*fleet) error { return nil })
}

// startStopFleet is startStopOurs, with a look at the fleet while it runs.
func (b *bench) startStopFleet(ctx context.Context, took *startStop, look func(*fleet) error) (err error) {
	f, err := b.fleet(b.n)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, f.remove(context.WithoutCancel(ctx))) }()
	t0 := time.Now()
	applied, err := f.do(ctx, "apply", "-f", f.manifests)
	if err != nil {
		return err
	}
	all, err := f.mains.await(ctx, 0, b.n)
	if err != nil {
		return err
	}
	took.applied.took(applied)
	took.started.took(last(all).Sub(t0))

	for range noops {
		nothing, err := f.do(ctx, "apply", "-f", f.manifests)
		if err != nil {
			return err
		}
		took.noop.took(nothing)
	}
	again, err := f.mains.read(0)
	if err != nil {
		return err
	}
	if len(again) != b.n {
		return fmt.Errorf("%d mains began for %d daemons: an apply with nothing to do started some", len(again), b.n)
	}
	if err := look(f); err != nil {
		return err
	}

	gone, stopped, err := f.stop(ctx, all)
	if err != nil {
		return err
	}
	took.gone.took(gone)
	took.stopped.took(stopped)
	return nil
}

// stop stops all and returns when the last process had ended and when the command had.
func (f *fleet) stop(ctx context.Context, running []began) (gone, returned time.Duration, err error) {
	w, err := newWatch()
	if err != nil {
		return 0, 0, err
	}
	defer w.close()
	for _, d := range running {
		fd, err := w.add(d.pid)
		if err != nil {
			return 0, 0, err
		}
		defer w.remove(fd)
	}
	type end struct {
		took time.Duration
		err  error
	}
	t0 := time.Now()
	ended := make(chan end, 1)
	go func() {
		var e end
		for range running {
			var fd int
			if fd, e.err = w.next(); e.err != nil {
				break
			}
			if e.err = unix.EpollCtl(w.ep, unix.EPOLL_CTL_DEL, fd, nil); e.err != nil {
				break
			}
		}
		e.took = time.Since(t0)
		ended <- e
	}()
	returned, err = f.do(ctx, append([]string{"stop"}, f.names...)...)
	e := <-ended
	return e.took, returned, errors.Join(err, e.err)
}

// clear ends whatever daemons of this bench are left, and removes its folders. They are known by their binary, which lies in that folder.
func (b *bench) clear() error {
	procs, err := os.ReadDir("/proc")
	if err != nil {
		return err
	}
	var errs []error
	for _, p := range procs {
		exe, err := os.Readlink(filepath.Join("/proc", p.Name(), "exe"))
		if err != nil || exe != b.tinyd {
			continue // not a process, gone, or not ours
		}
		var pid int
		if _, err := fmt.Sscan(p.Name(), &pid); err != nil {
			continue
		}
		if err := unix.Kill(pid, unix.SIGKILL); err != nil && !errors.Is(err, unix.ESRCH) {
			errs = append(errs, fmt.Errorf("end the tinyd %d that is left: %w", pid, err))
		}
	}
	for _, dir := range []string{b.dir, b.fast} {
		if dir != "" {
			errs = append(errs, os.RemoveAll(dir))
		}
	}
	return errors.Join(errs...)
}

func tail(text string, lines int) string {
	all := strings.SplitAfter(strings.TrimSpace(text), "\n")
	return strings.Join(all[max(0, len(all)-lines):], "")
}
