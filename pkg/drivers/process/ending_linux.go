package process

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync/atomic"
	"time"

	"golang.org/x/sys/unix"

	"reconciler.dev/reconciler/internal/failpoint"
	"reconciler.dev/reconciler/internal/pidfd"
	"reconciler.dev/reconciler/internal/post"
	"reconciler.dev/reconciler/pkg/spec"
)

// ending is a stop under way.
type ending struct {
	tree   Tree
	inst   *spec.Instance
	main   pidfd.FD // None: it has ended already
	stop   spec.Stop
	signal unix.Signal
	// asked is called once somebody was asked.
	asked func()
}

// endTree takes the tree through the stages until nothing of it lives.
func (d *Driver) endTree(ctx context.Context, e *ending) error {
	if e.stop.URL != "" && e.main != pidfd.None {
		gone, err := d.askByURL(ctx, e)
		if gone || err != nil {
			return err
		}
	}
	failpoint.Hit(failpoint.StopPosted)
	gone, err := d.askBySignal(ctx, e)
	if gone || err != nil {
		return err
	}
	failpoint.Hit(failpoint.StopSignalled)
	if err := d.killTree(ctx, e.tree); err != nil || e.main == pidfd.None {
		return err
	}
	return d.killMain(ctx, e)
}

// killMain kills the main process, which may have shed what its tree is known by.
func (d *Driver) killMain(ctx context.Context, e *ending) error {
	if err := e.main.Signal(unix.SIGKILL); err != nil && !errors.Is(err, pidfd.ErrGone) {
		return fmt.Errorf("kill process %d: %w", e.inst.PID, err)
	}
	up := time.NewTimer(killLimit)
	defer up.Stop()
	if ended, err := d.await(ctx, up.C, e.main); !ended || err != nil {
		return errors.Join(err, fmt.Errorf("process %d was killed and hasn't gone: it hangs in the kernel, perhaps for a disk or a network file system", e.inst.PID))
	}
	return nil
}

// askByURL posts to the stop URL and waits for the end. It gives up early where the daemon says no, or isn't there to ask.
func (d *Driver) askByURL(ctx context.Context, e *ending) (gone bool, err error) {
	grace := e.stop.GracePeriod.D()
	asking, cancel := context.WithTimeout(ctx, grace)
	defer cancel()
	answer := make(chan error, 1)
	go func() { answer <- post.To(asking, e.stop.URL) }()
	e.asked()
	ended, forget, err := d.whenEnded(e.main)
	if err != nil {
		return false, err
	}
	defer forget()
	up := time.NewTimer(grace)
	defer up.Stop()
	for {
		select {
		case <-ended:
			living, err := d.living(e.tree, mainProcess(e.inst))
			return err == nil && len(living) == 0, err
		case err := <-answer:
			if errors.Is(err, post.ErrRefused) {
				return false, nil
			}
		case <-up.C:
			return false, nil
		case <-ctx.Done():
			return false, ctx.Err()
		}
	}
}

// askBySignal signals the main process, which is to end the others, and those that live on without it; and waits for the end of them all.
func (d *Driver) askBySignal(ctx context.Context, e *ending) (gone bool, err error) {
	up := time.NewTimer(e.stop.GracePeriod.D())
	defer up.Stop()
	if e.main != pidfd.None {
		ask(e.main, e.signal)
		e.asked()
		if ended, err := d.await(ctx, up.C, e.main); !ended || err != nil {
			return false, err
		}
	}
	e.asked()
	d.asking.giveWay()
	var asked []int
	for {
		tree, err := d.open(e.tree, mainProcess(e.inst))
		if err != nil || len(tree) == 0 {
			return err == nil, err
		}
		var fds []pidfd.FD
		for _, m := range tree {
			if !slices.Contains(asked, m.pid) {
				ask(m.fd, e.signal)
				asked = append(asked, m.pid)
			}
			fds = append(fds, m.fd)
		}
		ended, err := d.await(ctx, up.C, fds...)
		shut(tree)
		if !ended || err != nil {
			return false, err
		}
	}
}

// ask sends a signal, and lets a stopped process go on to get it. A process that has ended needs none.
func ask(fd pidfd.FD, signal unix.Signal) {
	fd.Signal(signal)
	fd.Signal(unix.SIGCONT)
}

// member is a living process of a tree that fd holds on to.
type member struct {
	pid int
	fd  pidfd.FD
}

// open opens the living processes of a tree, each verified, as living finds them.
func (d *Driver) open(t Tree, dead ...Process) (tree []member, err error) {
	living, err := d.living(t, dead...)
	if err != nil {
		return nil, err
	}
	for _, p := range living[:min(len(living), maxOpen)] {
		fd, err := pidfd.Open(p.PID)
		if errors.Is(err, pidfd.ErrGone) {
			continue
		}
		if err != nil {
			shut(tree)
			return nil, err
		}
		if ours, err := d.trees.Has(t, p.PID); err != nil || !ours {
			fd.Close() // it has ended, and another may have its number
			continue
		}
		tree = append(tree, member{p.PID, fd})
	}
	if len(tree) == 0 && len(living) > 0 {
		return d.open(t, dead...) // they ended meanwhile, and may have left children
	}
	return tree, nil
}

// maxOpen bounds how many members of a tree are dealt with at once: a daemon may have more processes than we may have descriptors.
const maxOpen = 400

func shut(tree []member) {
	for _, m := range tree {
		m.fd.Close()
	}
}

const (
	// killLimit is how long a killed process may take to go. One that hangs in the kernel (state D) may take for ever.
	killLimit = 30 * time.Second
	// killAgain is when those that were killed are looked at again, in case they have had children.
	killAgain = 20 * time.Millisecond
)

// killTree kills what is part of a tree until nothing is.
func (d *Driver) killTree(ctx context.Context, t Tree) error {
	deadline := time.Now().Add(killLimit)
	for {
		if err := d.trees.Kill(t); err != nil {
			return err
		}
		tree, err := d.open(t)
		if err != nil || len(tree) == 0 {
			return err
		}
		var fds []pidfd.FD
		for _, m := range tree {
			fds = append(fds, m.fd)
			if sigErr := m.fd.Signal(unix.SIGKILL); sigErr != nil && !errors.Is(sigErr, pidfd.ErrGone) {
				err = fmt.Errorf("kill process %d: %w", m.pid, sigErr)
			}
		}
		again := time.NewTimer(killAgain)
		if err == nil {
			_, err = d.await(ctx, again.C, fds...)
		}
		again.Stop()
		shut(tree)
		if err != nil {
			return err
		}
		if time.Now().After(deadline) {
			return fmt.Errorf("process %d and %d others were killed and haven't gone in %v: they hang in the kernel, perhaps for a disk or a network file system", tree[0].pid, len(tree)-1, killLimit)
		}
	}
}

// await waits until all of fds have ended, and tells whether they have before up fired.
func (d *Driver) await(ctx context.Context, up <-chan time.Time, fds ...pidfd.FD) (bool, error) {
	ended, forget, err := d.whenEnded(fds...)
	if err != nil {
		return false, err
	}
	defer forget()
	select {
	case <-ended:
		return true, nil
	case <-up:
		return false, nil
	case <-ctx.Done():
		return false, ctx.Err()
	}
}

// whenEnded returns a channel that is closed when all of fds have ended, and what ends the waiting for it.
func (d *Driver) whenEnded(fds ...pidfd.FD) (ended <-chan struct{}, forget func(), err error) {
	done := make(chan struct{})
	var left atomic.Int64
	left.Store(int64(len(fds)))
	var cancels []func()
	forget = func() {
		for _, c := range cancels {
			c()
		}
	}
	for _, fd := range fds {
		cancel, err := d.ends.Add(fd, func() {
			if left.Add(-1) == 0 {
				close(done)
			}
		})
		if err != nil {
			forget()
			return nil, nil, err
		}
		cancels = append(cancels, cancel)
	}
	return done, forget, nil
}
