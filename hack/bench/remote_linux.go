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
	"sync"
	"time"

	"reconciler.dev/reconciler/test/labhost"
	"reconciler.dev/reconciler/test/sshlab"
)

// What the figures of hosts behind SSH are taken of: that many hosts that systemd booted, with their own addresses and an sshd each, and that many daemons on each.
const (
	remoteHosts   = 8
	remoteDaemons = 10
)

// site is the hosts behind SSH, and the home of the administrator who keeps them.
type site struct {
	b         *bench
	hosts     []*labhost.Host
	home      *sshlab.Home
	manifests string
	names     []string // of the daemons of each host
}

// remote measures hosts behind SSH: a bare Go program, Ansible and ours, by turns on the same daemons.
func (b *bench) remote(ctx context.Context) (err error) {
	b.progress("\n%d hosts behind SSH, %d daemons each:", remoteHosts, remoteDaemons)
	lab, err := labhost.Open(ctx)
	if err != nil {
		return fmt.Errorf("boot hosts to measure on: %w", err)
	}
	defer func() { err = errors.Join(err, lab.Close()) }()
	s, err := b.newSite(ctx, lab)
	if err != nil {
		return fmt.Errorf("prepare hosts behind SSH: %w", err)
	}
	rows, err := s.measure(ctx)
	if err != nil {
		return fmt.Errorf("measure hosts behind SSH: %w", err)
	}
	fmt.Fprintln(b.out)
	if missed := print(b.out, rows); missed > 0 {
		return fmt.Errorf("hosts behind SSH missed %d bars", missed)
	}
	return nil
}

// newSite boots the hosts and starts their daemons, by a first apply, which installs the agents.
func (b *bench) newSite(ctx context.Context, lab *labhost.Lab) (*site, error) {
	s := &site{b: b, manifests: filepath.Join(b.dir, "remote", "manifests")}
	if err := os.MkdirAll(s.manifests, 0o755); err != nil {
		return nil, err
	}
	var err error
	if s.home, err = sshlab.NewHome(filepath.Join(b.dir, "remote", "home")); err != nil {
		return nil, err
	}
	for i := range remoteDaemons {
		s.names = append(s.names, fmt.Sprintf("t%03d", i))
	}
	if s.hosts, err = s.boot(ctx, lab); err != nil {
		return nil, err
	}
	for _, h := range s.hosts {
		for _, n := range s.names {
			if err := s.declare(h, n, ""); err != nil {
				return nil, err
			}
		}
	}
	took, err := s.do(ctx, "apply", "-f", s.manifests)
	b.progress("the first apply, which installs the agents: %s ms", short(float64(took)/float64(time.Millisecond)))
	return s, err
}

func (s *site) boot(ctx context.Context, lab *labhost.Lab) ([]*labhost.Host, error) {
	tinyd, err := os.ReadFile(s.b.tinyd)
	if err != nil {
		return nil, err
	}
	hosts, err := lab.StartAll(ctx, remoteHosts, labhost.Systemd, python()...)
	if err != nil {
		return nil, err
	}
	errs := make([]error, remoteHosts)
	var all sync.WaitGroup
	for i, h := range hosts {
		all.Go(func() {
			errs[i] = errors.Join(h.Put(filepath.Join(hostDir, "tinyd"), tinyd, 0o755), s.home.Enroll(ctx, h))
		})
	}
	all.Wait()
	return hosts, errors.Join(errs...)
}

// declare writes the manifest of a daemon of a host.
func (s *site) declare(h *labhost.Host, name, more string) error {
	text := fmt.Sprintf("apiVersion: reconciler.dev/v1\nkind: DaemonSpec\nmetadata: {name: %[2]s}\nspec:\n  host: %[1]s\n  driver: systemd\n  binary: %[3]s/tinyd\n  args: [%[3]s/mains, %[2]s]\n%[4]s",
		h.Name, name, hostDir, more)
	return os.WriteFile(filepath.Join(s.manifests, h.Name+"-"+name+".yaml"), []byte(text), 0o644)
}

// command prepares a program beside the hosts, as the administrator runs it.
func (s *site) command(ctx context.Context, args ...string) *exec.Cmd {
	words := append(s.hosts[0].Beside(), args...)
	cmd := exec.CommandContext(ctx, words[0], words[1:]...)
	cmd.Env = append(os.Environ(), "HOME="+s.home.Dir, "SSH_AUTH_SOCK=", "RECONCILER_STATE_DIR="+filepath.Join(s.home.Dir, "state"), "RECONCILER_DRIVERS=process")
	cmd.Cancel = func() error { return cmd.Process.Signal(os.Interrupt) }
	cmd.WaitDelay = 10 * time.Second
	return cmd
}

// do runs reconciler beside the hosts and returns what the whole command took.
func (s *site) do(ctx context.Context, args ...string) (time.Duration, error) {
	return timed(s.command(ctx, append([]string{s.b.reconciler}, args...)...))
}

// timed runs a command and returns what it took.
func timed(cmd *exec.Cmd) (time.Duration, error) {
	var said bytes.Buffer
	cmd.Stdout, cmd.Stderr = &said, &said
	t0 := time.Now()
	err := cmd.Run()
	took := time.Since(t0)
	if err != nil {
		return took, fmt.Errorf("%s: %w\n%s", strings.Join(cmd.Args, " "), err, tail(said.String(), 20))
	}
	return took, nil
}

// each does something with all hosts at the same time, and returns what it took.
func (s *site) each(do func(i int, h *labhost.Host) error) (time.Duration, error) {
	errs := make([]error, len(s.hosts))
	var all sync.WaitGroup
	t0 := time.Now()
	for i, h := range s.hosts {
		all.Go(func() {
			if err := do(i, h); err != nil {
				errs[i] = fmt.Errorf("%s: %w", h.Name, err)
			}
		})
	}
	all.Wait()
	return time.Since(t0), errors.Join(errs...)
}
