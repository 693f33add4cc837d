package usage

import (
	"bytes"
	"context"
	"fmt"
	"os"
	"slices"
	"strconv"
	"time"

	"golang.org/x/sys/unix"

	"reconciler.dev/reconciler/internal/listeners"
	"reconciler.dev/reconciler/internal/procfs"
	"reconciler.dev/reconciler/pkg/spec"
)

// Reader reads figures, and remembers of one pass what the next needs. It is for one goroutine at a time. The zero Reader is ready for use.
type Reader struct {
	memories memories
	devices  map[string]bool
	own      string // network namespace
	files    files
	sockets  listeners.Tables
}

// Begin begins a pass: what has to be read once for all daemons is read again.
func (r *Reader) Begin() {
	r.sockets = listeners.Tables{}
	r.files.begin()
}

// Rest closes the files that were held open for another pass.
func (r *Reader) Rest() { r.files.rest() }

// Ports fills in where a daemon that was read listens.
func (r *Reader) Ports(_ context.Context, s *spec.Sample) {
	found, err := r.sockets.Of(s.PIDs)
	if err != nil {
		missing(s, "ports", err.Error())
		return
	}
	s.Ports = make([]spec.Port, len(found))
	for i, p := range found {
		s.Ports[i] = spec.Port(p)
	}
}

// Forget forgets daemons that aren't there any more.
func (r *Reader) Forget(gone func(name string) bool) {
	r.memories.forget(gone)
}

// memory is what is remembered of an instance.
type memory struct {
	instance string
	slow     *slow
	counted  counted
	last     *tally
	// space is the network namespace of the process spacePID.
	space    string
	spacePID int
}

// Read fills in what the instance that s names has used.
func (r *Reader) Read(_ context.Context, s *spec.Sample, of Subject) {
	s.At, s.Clock = time.Now(), procfs.SinceBoot()
	m := r.memories.of(s)
	if of.Dir != "" {
		switch err := r.readGroup(s, of.Dir, m); {
		case err != nil && isGone(err):
			s.State = spec.Exited
			return
		case err != nil:
			s.State, s.Message = spec.Unknown, err.Error()
			return
		}
	} else {
		s.PIDs = slices.Sorted(slices.Values(of.PIDs))
		unlimited(&s.CPU.Limit)
		unlimited(&s.Memory.Limit)
		unlimited(&s.TaskLimit)
		const why = "without a cgroup nobody counts it"
		for _, field := range []string{"memory.peak", "oomKills", "pressure"} {
			missing(s, field, why)
		}
	}
	if len(s.PIDs) == 0 {
		return
	}
	r.readTree(s, m)
	r.network(s, m)
}

// Processes fills in the processes of the instance that s names, and nothing that Read fills in beside.
func (r *Reader) Processes(_ context.Context, s *spec.Sample, of Subject) {
	s.At, s.Clock = time.Now(), procfs.SinceBoot()
	if of.Dir == "" {
		s.PIDs = slices.Sorted(slices.Values(of.PIDs))
		return
	}
	var st unix.Stat_t
	below := unix.Lstat(of.Dir, &st) != nil || st.Nlink > 2
	g := group{Reader: r, s: s, dir: of.Dir, slow: &slow{below: below}}
	if err := g.processes(); err != nil {
		s.State = spec.Exited
	}
}

// network reads what went over the interfaces of a network namespace of the daemon's own.
func (r *Reader) network(s *spec.Sample, m *memory) {
	if r.own == "" {
		r.own, _ = os.Readlink("/proc/self/ns/net")
	}
	dir := "/proc/" + strconv.Itoa(s.PIDs[0])
	if m.spacePID != s.PIDs[0] {
		space, err := os.Readlink(dir + "/ns/net")
		if err != nil {
			if !isGone(err) {
				missing(s, "net", fmt.Sprintf("look for its network namespace: %v", err))
			}
			return
		}
		m.space, m.spacePID = space, s.PIDs[0]
	}
	if m.space == r.own {
		missing(s, "net", "it has no network namespace of its own, and for the host's the kernel counts all processes together")
		return
	}
	text, err := r.files.list(dir + "/net/dev")
	if err == nil {
		s.Net, err = netDev(text)
	}
	if err != nil && !isGone(err) {
		missing(s, "net", fmt.Sprintf("read what its network namespace counts: %v", err))
	}
}

// netDev adds up what /proc/PID/net/dev says of each interface but lo: see proc_pid_net(5).
func netDev(text []byte) (spec.NetUse, error) {
	var rx, tx int64
	for line := range bytes.Lines(text) {
		name, rest, ok := bytes.Cut(line, []byte(":"))
		if !ok || string(bytes.TrimSpace(name)) == "lo" {
			continue // two lines of headings have no colon
		}
		words := bytes.Fields(rest)
		if len(words) < 9 {
			return spec.NetUse{}, fmt.Errorf("%w: %q", errFormat, line)
		}
		in, err := number(words[0])
		out, err2 := number(words[8])
		if err != nil || err2 != nil {
			return spec.NetUse{}, fmt.Errorf("%w: %q", errFormat, line)
		}
		rx, tx = rx+in, tx+out
	}
	return spec.NetUse{RxBytes: &rx, TxBytes: &tx}, nil
}
