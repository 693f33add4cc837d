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
	simulatedExits   = 10
)

// beHosts is the other process of the figures of simulated hosts: n machines in memory, each behind an sshd of its own on the loopback, with an agent that is a goroutine. It writes their ports and keys,
// and ends with its input. For each byte of that a daemon of the next host ends.
func beHosts(ctx context.Context, n int, in io.Reader, out io.Writer) error {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	victims := &victims{}
	for range n {
		machine := driverstest.NewHost()
		victims.of = append(victims.of, machine.Fake())
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
	_, err := io.Copy(victims, in)
	return err
}

// victims are machines a daemon of each of which is to end.
type victims struct{ of []*driverstest.Fake }

func (v *victims) Write(b []byte) (int, error) {
	for range min(len(b), len(v.of)) {
		v.of[0].Crash(victim, spec.Exit{Known: true, Signal: "SIGKILL"})
		v.of = v.of[1:]
	}
	return len(b), nil
}

// victim is the daemon that ends.
const victim = "d00"

// startHosts starts that process, and returns how its hosts are reached, how a daemon of the next of them is ended, and how all are.
func startHosts(ctx context.Context, n int) (targets []link.Target, kill, end func() error, err error) {
	cmd := exec.CommandContext(ctx, "/proc/self/exe", "-simulate", fmt.Sprint(n))
	cmd.Stderr = os.Stderr
	life, err := cmd.StdinPipe()
	if err != nil {
		return nil, nil, nil, err
	}
	out, err := cmd.StdoutPipe()
	if err != nil {
		return nil, nil, nil, err
	}
	if err := cmd.Start(); err != nil {
		return nil, nil, nil, fmt.Errorf("simulate hosts: %w", err)
	}
	kill = func() error {
		_, err := life.Write([]byte{'x'})
		return err
	}
	end = func() error { return errors.Join(life.Close(), cmd.Wait()) }
	if targets, err = readTargets(out, n); err != nil {
		return nil, nil, nil, errors.Join(err, end())
	}
	return targets, kill, end, nil
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
	targets, kill, end, err := startHosts(ctx, n)
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
	return b.simulatedFigures(ctx, &keptSim{c, m, kill}, before)
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

// keptSim is simulated hosts that are kept, what is said with them, and how a daemon of the next of them is ended.
type keptSim struct {
	*crowd
	meter *meter
	kill  func() error
}

// during returns the bytes that are said while f does something, and how long that takes.
func (k *keptSim) during(f func() error) (said float64, took time.Duration, err error) {
	before, t0 := k.meter.bytes.Load(), time.Now()
	err = f()
	return float64(k.meter.bytes.Load() - before), time.Since(t0), err
}

// exits ends a daemon of each of the first hosts, one after the other, and waits until all that follows was said.
func (k *keptSim) exits(ctx context.Context) error {
	for i := range simulatedExits {
		again := k.eyes[i].await(map[sight]func(spec.Observed) bool{{spec.DriverProcess, victim}: func(o spec.Observed) bool {
			return o.State == spec.Running && o.Instance.Restarts > 0
		}})
		if err := k.kill(); err != nil {
			return err
		}
		if _, err := sees(ctx, again); err != nil {
			return err
		}
	}
	return pause(ctx, quiet)
}

func (b *bench) simulatedFigures(ctx context.Context, k *keptSim, before float64) ([]row, error) {
	if err := pause(ctx, quiet); err != nil { // what was started has proved itself
		return nil, err
	}
	var passes figures
	passSaid, passTook, err := k.during(func() error {
		for range simulatedPasses {
			took, err := k.pass(ctx)
			if err != nil {
				return err
			}
			passes.took(took)
			if err := pause(ctx, between); err != nil {
				return err
			}
		}
		return nil
	})
	if err != nil {
		return nil, err
	}
	after, err := settled()
	if err != nil {
		return nil, err
	}
	if err := pause(ctx, 2*time.Second); err != nil {
		return nil, err
	}
	said, silence, err := k.during(func() error { return pause(ctx, simulatedSilence) })
	if err != nil {
		return nil, err
	}
	exitSaid, exitTook, err := k.during(func() error { return k.exits(ctx) })
	if err != nil {
		return nil, err
	}
	beside := func(took time.Duration) float64 { return said * float64(took) / float64(silence) } // the pings meanwhile
	n := float64(len(k.eyes))
	pings := n * simulatedSilence.Seconds() / simulatedPing.Seconds()
	return []row{
		{what: fmt.Sprintf("simulated: a pass with nothing to do, %d hosts, connected", len(k.eyes)), unit: "ms", ours: passes, bar: 1000},
		{what: "simulated: memory for each host", unit: "MB", ours: figures{(after - before) / 1000 / n}, bar: 1},
		{what: fmt.Sprintf("simulated: bytes for each ping and answer, %s silent", simulatedSilence), unit: "B", ours: figures{said / pings}, bar: maxPing},
		{what: "simulated: bytes for each daemon of a pass with nothing to do", unit: "B", ours: figures{(passSaid - beside(passTook)) / simulatedPasses / n / simulatedDaemons}, bar: maxSame},
		{what: "simulated: bytes for one exit, healed", unit: "B", ours: figures{(exitSaid - beside(exitTook)) / simulatedExits}, bar: maxExit},
	}, nil
}

// maxPing is what a ping and its answer may take on the wire, with what SSH adds to each: two packets with a length, padding and a MAC, and the questions of SSH's own between.
const maxPing = 400

// maxSame is what a daemon may take of a pass that is as it was: its name, 16 bytes that say how it was, and its share of what a call takes. maxExit is what may be said about one that ended
// and was started again: what it is then, a few times, its step, its events and its conditions.
const (
	maxSame = 64
	maxExit = 16 << 10
)

// settled is the memory of this process, in kB, once what isn't used was given back.
func settled() (float64, error) {
	debug.FreeOSMemory()
	c, err := costOf(os.Getpid())
	return c.pss, err
}
