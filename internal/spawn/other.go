//go:build !linux

package spawn

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os/exec"
	"os/user"
	"time"
)

// Main does nothing: only Linux needs a launcher.
func Main() {}

// Spawner starts processes. It may be used by any number of goroutines.
type Spawner struct{}

// New returns a Spawner.
func New() (*Spawner, error) { return &Spawner{}, nil }

// ErrNotPermitted is what asking for an account wraps that this process may not become.
var ErrNotPermitted = errors.New("not permitted")

// LookupAccount returns the account of this process. An error wraps ErrNotPermitted where another one is asked for.
func LookupAccount(userName, group string) (a *Account, become bool, err error) {
	if userName != "" || group != "" {
		return nil, false, fmt.Errorf("run as user %q, group %q: %w on this system", userName, group, ErrNotPermitted)
	}
	u, err := user.Current()
	if err != nil {
		return nil, false, fmt.Errorf("find the own account: %w", err)
	}
	return &Account{Name: u.Username, Home: u.HomeDir, Shell: "/bin/sh"}, false, nil
}

// Run runs c to its end, as the own user, and returns the first limit bytes of what it printed, stdout and stderr together. It is killed when ctx ends. The error says
// how it ended where that isn't with status 0.
func (s *Spawner) Run(ctx context.Context, c Cmd, limit int) ([]byte, error) {
	if c.Account != nil {
		return nil, fmt.Errorf("run %s as another user: %w on this system", c.Path, errors.ErrUnsupported)
	}
	cmd := exec.CommandContext(ctx, c.Path)
	out := head{limit: limit}
	cmd.Args, cmd.Env, cmd.Dir, cmd.Stdout, cmd.Stderr, cmd.WaitDelay = c.Args, c.Env, c.Dir, &out, &out, 50*time.Millisecond
	if err := cmd.Run(); err != nil {
		return out.data, fmt.Errorf("run %s: %w", c.Path, err)
	}
	return out.data, nil
}

// NewTag returns 0: nothing marks a tree here.
func NewTag() uint64 { return 0 }

// KillTree does nothing: nothing marks a tree here.
func KillTree(context.Context, uint64) error { return nil }

// Follow runs c to its end, as the own user, and copies what it prints, stdout and stderr together, to w as it comes. It is killed when ctx ends; the error then wraps the
// cause of that, or says how it ended where that isn't with status 0. Processes that it leaves behind live on.
func (s *Spawner) Follow(ctx context.Context, c Cmd, w io.Writer) error {
	if c.Account != nil {
		return fmt.Errorf("run %s as another user: %w on this system", c.Path, errors.ErrUnsupported)
	}
	cmd := exec.CommandContext(ctx, c.Path)
	cmd.Args, cmd.Env, cmd.Dir, cmd.Stdout, cmd.Stderr, cmd.WaitDelay = c.Args, c.Env, c.Dir, w, w, 50*time.Millisecond
	err := cmd.Run()
	switch {
	case err != nil && ctx.Err() != nil:
		return fmt.Errorf("run %s: it was killed: %w", c.Path, context.Cause(ctx))
	case err != nil:
		return fmt.Errorf("run %s: %w", c.Path, err)
	}
	return nil
}

// head keeps the first limit bytes written to it.
type head struct {
	data  []byte
	limit int
}

func (h *head) Write(p []byte) (int, error) {
	h.data = append(h.data, p[:min(len(p), h.limit-len(h.data))]...)
	return len(p), nil
}
