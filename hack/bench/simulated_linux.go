package main

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"os/exec"
	"runtime/debug"
	"strings"
	"time"

	"golang.org/x/crypto/ssh"

	"reconciler.dev/reconciler/pkg/drivers"
	"reconciler.dev/reconciler/pkg/drivers/driverstest"
	"reconciler.dev/reconciler/pkg/remote"
	"reconciler.dev/reconciler/pkg/remote/link"
	"reconciler.dev/reconciler/pkg/spec"
	"reconciler.dev/reconciler/test/simhost"
)

const (
	simulatedDaemons = 20               // on each host
	simulatedPing    = 5 * time.Second  // between two signs of life
	simulatedSilence = 20 * time.Second // how long a fleet is listened to in which nothing happens
	simulatedPasses  = 10
)

// beHosts is the other process of the figures of simulated hosts: n machines in memory, each behind an sshd of its own on the loopback, with an agent that is a goroutine. It writes their ports and keys,
// and ends with its input.
func beHosts(ctx context.Context, n int, in io.Reader, out io.Writer) error {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	for range n {
		machine := driverstest.NewHost()
		h, err := simhost.New(ctx, simhost.Options{Handle: func(ctx context.Context, _ string, stdin io.Reader, stdout, _ io.Writer) int {
			if remote.Serve(ctx, stdin, stdout, remote.Local{Host: machine.Reopen()}) != nil {
				return 1
			}
			return 0
		}})
		if err != nil {
			return err
		}
		defer h.Close()
		if _, err := fmt.Fprintf(out, "%d %s", h.Port(), ssh.MarshalAuthorizedKey(h.Key())); err != nil {
			return err
		}
	}
	_, err := io.Copy(io.Discard, in)
	return err
}

// startHosts starts that process, and returns how its hosts are reached.
func startHosts(ctx context.Context, n int) (targets []link.Target, end func() error, err error) {
	cmd := exec.CommandContext(ctx, "/proc/self/exe", "-simulate", fmt.Sprint(n))
	cmd.Stderr = os.Stderr
	life, err := cmd.StdinPipe()
	if err != nil {
		return nil, nil, err
	}
	out, err := cmd.StdoutPipe()
	if err != nil {
		return nil, nil, err
	}
	if err := cmd.Start(); err != nil {
		return nil, nil, fmt.Errorf("simulate hosts: %w", err)
	}
	end = func() error { return errors.Join(life.Close(), cmd.Wait()) }
	if targets, err = readTargets(out, n); err != nil {
		return nil, nil, errors.Join(err, end())
	}
	return targets, end, nil
}

// readTargets reads what beHosts writes.
func readTargets(r io.Reader, n int) (targets []link.Target, err error) {
	lines := bufio.NewScanner(r)
	for len(targets) < n && lines.Scan() {
		port, key, _ := strings.Cut(lines.Text(), " ")
		t := link.Target{Name: fmt.Sprintf("sim%d", len(targets)), Address: "127.0.0.1", HostKey: key, User: "bench", IdentityAgent: "none", IdentityFiles: []string{}}
		if _, err := fmt.Sscan(port, &t.Port); err != nil {
			return nil, fmt.Errorf("simulate hosts: %w", err)
		}
		targets = append(targets, t)
	}
	if len(targets) < n {
		return nil, errors.New("simulate hosts: they ended")
	}
	return targets, nil
}

// simulated measures n simulated hosts, from a process of its own: what a pass over all takes, what memory each of them costs the controller, and what is said while nothing happens.
func (b *bench) simulated(ctx context.Context, n int) (err error) {
	b.progress("\n%d simulated hosts, %d daemons each:", n, simulatedDaemons)
	rows, err := b.simulatedRows(ctx, n)
	if err != nil {
		return fmt.Errorf("measure simulated hosts: %w", err)
	}
	if missed := print(b.out, rows); missed > 0 {
		return fmt.Errorf("simulated hosts missed %d bars", missed)
	}
	return nil
}

func (b *bench) simulatedRows(ctx context.Context, n int) (rows []row, err error) {
	targets, end, err := startHosts(ctx, n)
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, end()) }()
	before, err := settled()
	if err != nil {
		return nil, err
	}
	m := &meter{}
	t, err := m.tie(ctx, targets)
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, t.close()) }()
	c, err := keep(ctx, t.hosts, simulatedWants(n))
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, c.end()) }()
	return b.simulatedFigures(ctx, c, m, before)
}

// tie reaches the hosts, and counts what that and all else says.
func (m *meter) tie(ctx context.Context, targets []link.Target) (*ties, error) {
	dialer := link.New(link.Options{Connect: m.dialer(new(net.Dialer).DialContext)})
	return tie(ctx, dialer, targets, func(ctx context.Context, c *link.Conn, name string) (drivers.Host, error) {
		stream, err := c.Open(ctx, "reconciler agent")
		if err != nil {
			return nil, err
		}
		return remote.Connect(ctx, stream, remote.ConnectOptions{Name: name, Ping: simulatedPing})
	})
}

// simulatedWants are the daemons of n hosts.
func simulatedWants(n int) [][]*spec.Daemon {
	wants := make([][]*spec.Daemon, n)
	for i := range wants {
		for d := range simulatedDaemons {
			wants[i] = append(wants[i], driverstest.Want(spec.DriverProcess, fmt.Sprintf("d%02d", d), "/bin/sleep", "1000"))
		}
	}
	return wants
}

func (b *bench) simulatedFigures(ctx context.Context, c *crowd, m *meter, before float64) ([]row, error) {
	if err := pause(ctx, quiet); err != nil { // what was started has proved itself
		return nil, err
	}
	var passes figures
	for range simulatedPasses {
		took, err := c.pass(ctx)
		if err != nil {
			return nil, err
		}
		passes.took(took)
		if err := pause(ctx, between); err != nil {
			return nil, err
		}
	}
	after, err := settled()
	if err != nil {
		return nil, err
	}
	if err := pause(ctx, 2*time.Second); err != nil {
		return nil, err
	}
	said := m.bytes.Load()
	if err := pause(ctx, simulatedSilence); err != nil {
		return nil, err
	}
	said = m.bytes.Load() - said
	n := float64(len(c.eyes))
	pings := n * simulatedSilence.Seconds() / simulatedPing.Seconds()
	return []row{
		{what: fmt.Sprintf("simulated: a pass with nothing to do, %d hosts, connected", len(c.eyes)), unit: "ms", ours: passes, bar: 1000},
		{what: "simulated: memory for each host", unit: "MB", ours: figures{(after - before) / 1000 / n}, bar: 1},
		{what: fmt.Sprintf("simulated: bytes for each ping and answer, %s silent", simulatedSilence), unit: "B", ours: figures{float64(said) / pings}, bar: maxPing},
	}, nil
}

// maxPing is what a ping and its answer may take on the wire, with what SSH adds to each: two packets with a length, padding and a MAC, and the questions of SSH's own between.
const maxPing = 400

// settled is the memory of this process, in kB, once what isn't used was given back.
func settled() (float64, error) {
	debug.FreeOSMemory()
	c, err := costOf(os.Getpid())
	return c.pss, err
}
