package spawn

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"time"

	"golang.org/x/sys/unix"

	"reconciler.dev/reconciler/internal/pidfd"
	"reconciler.dev/reconciler/internal/procfs"
)

// NewTag returns a tag that no other process has ever had. It is worth writing down before the process is started: whoever dies here is survived by the tree, and KillTree ends it.
func NewTag() uint64 { return uint64(procfs.NewTag()) }

// maxLeftover bounds what Follow still reads after the command ended, where somebody who outlives it goes on writing.
const maxLeftover = 1 << 20

// Follow runs c to its end and copies what it prints, stdout and stderr together, to w as it comes. When c has ended its process group is killed; when ctx ends, or w takes
// no more, all that carry c.Tag are, wherever they went, and Follow returns once they are gone. The error wraps the cause of ctx, or says how c ended where that isn't with
// status 0. Stdout and Stderr of c are ignored; Tag must be set.
func (s *Spawner) Follow(ctx context.Context, c Cmd, w io.Writer) error {
	r, out, err := os.Pipe()
	if err != nil {
		return fmt.Errorf("run %s: %w", c.Path, err)
	}
	defer r.Close()
	c.Stdout, c.Stderr = out, out
	p, err := s.Start(c)
	out.Close()
	if err != nil {
		return err
	}
	defer p.FD.Close()
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	copied := make(chan struct{})
	go func() {
		defer close(copied)
		if err := copyAll(w, r); err != nil {
			cancel(err)
		}
	}()
	waitErr := s.wait(ctx, p)
	cause := context.Cause(ctx)
	if waitErr != nil {
		unix.Kill(-p.PID, unix.SIGKILL) // not reaped yet: the number can't mean another
		waitErr = errors.Join(KillTree(context.WithoutCancel(ctx), c.Tag), s.wait(context.WithoutCancel(ctx), p))
	} else {
		unix.Kill(-p.PID, unix.SIGKILL)
	}
	status, known := p.FD.Status(p.PID, false)
	r.SetReadDeadline(time.Now())
	<-copied
	if cause == nil {
		cause = context.Cause(ctx) // w took no more at the very end
	}
	switch {
	case cause != nil:
		return errors.Join(fmt.Errorf("run %s: it was killed: %w", c.Path, cause), waitErr)
	case !known:
		return fmt.Errorf("run %s: somebody else took its exit status", c.Path)
	case status.Signaled():
		return fmt.Errorf("run %s: it was ended by %s", c.Path, unix.SignalName(status.Signal()))
	case status.ExitStatus() != 0:
		return fmt.Errorf("run %s: it exited with status %d", c.Path, status.ExitStatus())
	}
	return nil
}

// copyAll copies to the end of r, or, once its read deadline has passed, for as long as there is something to read.
func copyAll(w io.Writer, r *os.File) error {
	buf := make([]byte, 32<<10)
	over, left := false, maxLeftover
	for left > 0 {
		if over {
			r.SetReadDeadline(time.Now().Add(lastWords))
		}
		n, err := r.Read(buf)
		if n > 0 {
			if _, err := w.Write(buf[:n]); err != nil {
				return err
			}
		}
		switch {
		case errors.Is(err, os.ErrDeadlineExceeded) && !over:
			over = true
		case err != nil:
			return nil // the end, or nobody has said anything for a while
		case over:
			left -= n
		}
	}
	return nil
}

// The patience of KillTree.
const (
	killPause = 2 * time.Millisecond
	killLimit = 10 * time.Second
)

// KillTree kills all processes that carry the tag, and returns when none is left. An error says that some couldn't be found or didn't go.
func KillTree(ctx context.Context, tag uint64) error {
	if tag == 0 {
		return nil
	}
	ctx, cancel := context.WithTimeout(ctx, killLimit)
	defer cancel()
	var scans procfs.Scanner
	for {
		members, sure, err := scans.Members(procfs.Tag(tag))
		if err != nil {
			return fmt.Errorf("find the processes of a command that is to end: %w", err)
		}
		living := 0
		for _, pid := range members {
			if kill(pid, procfs.Tag(tag)) {
				living++
			}
		}
		if living == 0 && sure {
			return nil
		}
		select {
		case <-time.After(killPause):
		case <-ctx.Done():
			return fmt.Errorf("kill the processes of a command that is to end: %d are left after %v: %w", living, killLimit, ctx.Err())
		}
	}
}

// kill kills a process if it carries the tag, and says whether it lived.
func kill(pid int, tag procfs.Tag) bool {
	fd, err := pidfd.Open(pid)
	if err != nil {
		return false
	}
	defer fd.Close()
	if now, err := procfs.ReadTag(pid); err != nil || now != tag { // read after the descriptor was opened: it is this process's
		return false
	}
	if ended, err := fd.Ended(); err == nil && ended {
		return false
	}
	return fd.Signal(unix.SIGKILL) == nil
}
