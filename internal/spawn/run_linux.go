package spawn

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"time"

	"golang.org/x/sys/unix"
)

// lastWords is how long Run reads on after the command ended, for what is still in the pipe.
const lastWords = 50 * time.Millisecond

// Run runs c to its end and returns the first limit bytes of what it printed, stdout and stderr together. It is started like a daemon, with Stdout, Stderr and Tag of c
// ignored, and its process group is killed when ctx ends or it has ended itself. The error says how it ended where that isn't with status 0.
func (s *Spawner) Run(ctx context.Context, c Cmd, limit int) ([]byte, error) {
	r, w, err := os.Pipe()
	if err != nil {
		return nil, fmt.Errorf("run %s: %w", c.Path, err)
	}
	defer r.Close()
	c.Stdout, c.Stderr, c.Tag = w, w, 0
	p, err := s.Start(c)
	w.Close()
	if err != nil {
		return nil, err
	}
	defer p.FD.Close()
	out := make(chan []byte, 1)
	go func() { out <- readHead(r, limit) }()

	waitErr := s.wait(ctx, p)
	// The child is not reaped yet, so its number, and with it that of its group, can't have come to mean another.
	if err := unix.Kill(-p.PID, unix.SIGKILL); err != nil && !errors.Is(err, unix.ESRCH) && !errors.Is(err, unix.EPERM) {
		waitErr = errors.Join(waitErr, err)
	}
	if waitErr != nil {
		waitErr = errors.Join(waitErr, s.wait(context.WithoutCancel(ctx), p))
	}
	status, known := p.FD.Status(p.PID, false)
	r.SetReadDeadline(time.Now().Add(lastWords)) // somebody who left the group may hold the pipe open
	printed := <-out
	switch {
	case waitErr != nil:
		return printed, fmt.Errorf("run %s: it didn't end in time and was killed: %w", c.Path, waitErr)
	case !known:
		return printed, fmt.Errorf("run %s: somebody else took its exit status", c.Path)
	case status.Signaled():
		return printed, fmt.Errorf("run %s: it was ended by %s", c.Path, unix.SignalName(status.Signal()))
	case status.ExitStatus() != 0:
		return printed, fmt.Errorf("run %s: it exited with status %d", c.Path, status.ExitStatus())
	}
	return printed, nil
}

// wait waits for the end of p without a thread.
func (s *Spawner) wait(ctx context.Context, p Process) error {
	ended := make(chan struct{})
	cancel, err := s.ends.Add(p.FD, func() { close(ended) })
	if err != nil {
		return err
	}
	defer cancel()
	select {
	case <-ended:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

// readHead reads to the end and returns the first limit bytes.
func readHead(r io.Reader, limit int) []byte {
	head, err := io.ReadAll(io.LimitReader(r, int64(limit)))
	if err == nil {
		io.Copy(io.Discard, r) // ends with the pipe or at the deadline
	}
	return head
}
