package spawn

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"strings"

	"golang.org/x/sys/unix"
)

// complaint is how much of what a command writes to stderr goes into an error.
const complaint = 4 << 10

// Stream runs c and copies what it writes to stdout to w as it comes, until it ends. When ctx ends, or w takes no more, its process group is killed. An error says how
// it ended where that isn't with status 0, and what it wrote to stderr. Stdout, Stderr and Tag of c are ignored.
func (s *Spawner) Stream(ctx context.Context, c Cmd, w io.Writer) error {
	out, outW, err := os.Pipe()
	if err != nil {
		return fmt.Errorf("run %s: %w", c.Path, err)
	}
	defer out.Close()
	bad, badW, err := os.Pipe()
	if err != nil {
		outW.Close()
		return fmt.Errorf("run %s: %w", c.Path, err)
	}
	defer bad.Close()
	c.Stdout, c.Stderr, c.Tag = outW, badW, 0
	p, err := s.Start(c)
	outW.Close()
	badW.Close()
	if err != nil {
		return err
	}
	defer p.FD.Close()
	said := make(chan []byte, 1)
	go func() { said <- readHead(bad, complaint) }()
	stop := context.AfterFunc(ctx, func() { unix.Kill(-p.PID, unix.SIGKILL) }) // not reaped before stop: the number can't mean another
	_, copyErr := io.Copy(w, out)
	if copyErr != nil {
		unix.Kill(-p.PID, unix.SIGKILL)
	}
	waitErr := s.wait(context.WithoutCancel(ctx), p)
	stop()
	status, known := p.FD.Status(p.PID, false)
	switch {
	case ctx.Err() != nil:
		return ctx.Err()
	case copyErr != nil:
		return copyErr
	case waitErr != nil:
		return fmt.Errorf("run %s: %w", c.Path, waitErr)
	case known && status.Exited() && status.ExitStatus() == 0:
		return nil
	}
	how := "it was ended by a signal"
	if known && status.Exited() {
		how = fmt.Sprintf("it exited with status %d", status.ExitStatus())
	}
	if text := strings.TrimSpace(string(<-said)); text != "" {
		return fmt.Errorf("run %s: %s: %w", c.Path, how, errors.New(text))
	}
	return fmt.Errorf("run %s: %s", c.Path, how)
}
