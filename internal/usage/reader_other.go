//go:build !linux

package usage

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	psnet "github.com/shirou/gopsutil/v4/net"
	ps "github.com/shirou/gopsutil/v4/process"

	"reconciler.dev/reconciler/pkg/spec"
)

// Reader reads figures, and remembers of one pass what the next needs. It is for one goroutine at a time. The zero Reader is ready for use.
type Reader struct {
	memories memories
	began    time.Time
}

// memory is what is remembered of an instance.
type memory struct {
	instance string
	last     *tally
}

// Begin begins a pass.
func (r *Reader) Begin() {
	if r.began.IsZero() {
		r.began = time.Now()
	}
}

// Rest has nothing to do here.
func (r *Reader) Rest() {}

// Forget forgets daemons that aren't there any more.
func (r *Reader) Forget(gone func(name string) bool) {
	r.memories.forget(gone)
}

// Read fills in what the instance that s names has used, of all its processes together. What this system doesn't tell of one of them stays nil.
func (r *Reader) Read(ctx context.Context, s *spec.Sample, of Subject) {
	s.At, s.Clock = time.Now(), time.Since(r.began)
	s.PIDs = slices.Sorted(slices.Values(of.PIDs))
	m, now := r.memories.of(s), &tally{}
	last := m.last
	m.last = now

	procs := map[process]times{}
	var memory, tasks, files int64
	var io counts
	look := func(field string, of func(p *ps.Process) error) bool {
		for _, pid := range s.PIDs {
			err := of(&ps.Process{Pid: int32(pid)})
			if err != nil && !errors.Is(err, ps.ErrorProcessNotRunning) {
				missing(s, field, fmt.Sprintf("look at process %d: %v", pid, err))
				return false
			}
		}
		return len(s.PIDs) > 0
	}
	if look("cpu", func(p *ps.Process) error {
		start, err := p.CreateTimeWithContext(ctx)
		if err != nil {
			return err
		}
		t, err := p.TimesWithContext(ctx)
		if err == nil {
			procs[process{int(p.Pid), start}] = times{user: inSeconds(t.User), system: inSeconds(t.System)}
		}
		return err
	}) {
		user, system := now.cpuOf(procs, last)
		all := user + system
		s.CPU.Usage, s.CPU.User, s.CPU.System = &all, &user, &system
	}
	if look("memory.current", func(p *ps.Process) error {
		m, err := p.MemoryInfoWithContext(ctx)
		if err == nil {
			memory += int64(m.RSS)
		}
		return err
	}) {
		s.Memory.Current = &memory
	}
	if look("io", func(p *ps.Process) error {
		c, err := p.IOCountersWithContext(ctx)
		if err == nil {
			io.read, io.write = io.read+int64(c.ReadBytes), io.write+int64(c.WriteBytes)
		}
		return err
	}) {
		s.IO = now.ioOf(io, last)
	}
	if look("tasks", func(p *ps.Process) error {
		n, err := p.NumThreadsWithContext(ctx)
		tasks += int64(n)
		return err
	}) {
		s.Tasks = &tasks
	}
	if look("openFiles", func(p *ps.Process) error {
		n, err := p.NumFDsWithContext(ctx)
		files += int64(n)
		return err
	}) {
		s.OpenFiles = &files
	}
	missing(s, "pressure", "this system doesn't measure it")
}

// Processes fills in the processes of the instance that s names, and nothing that Read fills in beside.
func (r *Reader) Processes(_ context.Context, s *spec.Sample, of Subject) {
	s.At, s.Clock = time.Now(), time.Since(r.began)
	s.PIDs = slices.Sorted(slices.Values(of.PIDs))
}

func inSeconds(f float64) time.Duration { return time.Duration(f * float64(time.Second)) }

// Ports fills in where a daemon that was read listens.
func (r *Reader) Ports(ctx context.Context, s *spec.Sample) {
	s.Ports = []spec.Port{}
	for _, pid := range s.PIDs {
		all, err := psnet.ConnectionsPidWithContext(ctx, "inet", int32(pid))
		if err != nil {
			s.Ports = nil
			missing(s, "ports", fmt.Sprintf("look at the sockets of process %d: %v", pid, err))
			return
		}
		for _, c := range all {
			if network := networkOf(c); network != "" {
				s.Ports = append(s.Ports, spec.Port{Network: network, Address: c.Laddr.IP, Port: int(c.Laddr.Port), PID: pid})
			}
		}
	}
}

// networkOf is the network of a socket on which somebody may answer, empty for others. The kinds of sockets have these numbers on all systems that gopsutil knows.
func networkOf(c psnet.ConnectionStat) string {
	const stream, datagram = 1, 2
	network := ""
	switch {
	case c.Type == stream && c.Status == "LISTEN":
		network = "tcp"
	case c.Type == datagram && c.Raddr.Port == 0:
		network = "udp"
	default:
		return ""
	}
	if c.Family != familyIPv4 {
		network += "6"
	}
	return network
}

const familyIPv4 = 2 // AF_INET
