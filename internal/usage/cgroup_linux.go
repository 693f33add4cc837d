package usage

import (
	"bytes"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"golang.org/x/sys/unix"

	"reconciler.dev/reconciler/pkg/spec"
)

// slowPause is how long what changes seldom is believed: limits and controllers. It is also how often the kernel works out the averages of pressure anew (PSI_FREQ, 2 s).
const slowPause = 2 * time.Second

// slow is what was read of a cgroup and is read seldom.
type slow struct {
	at                    time.Duration // since boot; when it was read
	cpu, memory, io, pids bool          // the controllers
	cpuLimit, memoryLimit *spec.Bound
	taskLimit             *spec.Bound
	pressure              spec.Pressure
	missing               []spec.Loss
	// below says that there are cgroups in it.
	below bool
}

// readGroup fills in what a cgroup's files say. Where a controller isn't there, what only that tells stays nil.
func (r *Reader) readGroup(s *spec.Sample, dir string, m *memory) error {
	g := group{Reader: r, s: s, dir: dir, slow: m.slow}
	if g.slow == nil || s.Clock-g.slow.at >= slowPause {
		text, err := r.files.readSeldom(dir + "/cgroup.controllers")
		if err != nil {
			return fmt.Errorf("read cgroup %s: %w", dir, err)
		}
		have := func(controller string) bool {
			return slices.ContainsFunc(bytes.Fields(text), func(w []byte) bool { return string(w) == controller })
		}
		g.slow = &slow{at: s.Clock, cpu: have("cpu"), memory: have("memory"), io: have("io"), pids: have("pids")}
		g.seldom = true
		g.readSlow()
		g.seldom, m.slow = false, g.slow
	}
	w := g.slow
	s.CPU.Limit, s.Memory.Limit, s.TaskLimit, s.Pressure, s.Missing = w.cpuLimit, w.memoryLimit, w.taskLimit, w.pressure, slices.Clone(w.missing)
	if err := g.processes(); err != nil {
		return err
	}
	into(&g, "cpu.stat", "cpu", "", func(u spec.CPUUse) {
		u.Limit = s.CPU.Limit
		s.CPU = u
	}, cpuStat)
	g.memoryUse()
	g.others()
	return nil
}

// group is a look at one cgroup.
type group struct {
	*Reader
	*slow
	s   *spec.Sample
	dir string
	// seldom says that files are read which aren't in every pass.
	seldom bool
}

// readSlow reads what is read seldom. What no controller counts none limits.
func (g *group) readSlow() {
	var st unix.Stat_t
	g.below = unix.Lstat(g.dir, &st) != nil || st.Nlink > 2
	none := spec.Unbounded
	g.cpuLimit, g.memoryLimit, g.taskLimit = &none, &none, &none
	keep := g.s.Missing
	g.s.Missing = nil
	if g.cpu {
		g.cpuLimit = nil
		into(g, "cpu.max", "cpu.limit", "", func(b *spec.Bound) { g.cpuLimit = b }, cpuBound)
	}
	if g.memory {
		g.memoryLimit = nil
		into(g, "memory.max", "memory.limit", "", func(b *spec.Bound) { g.memoryLimit = b }, bound)
	}
	if !g.memory {
		const why = "the memory controller isn't on in its cgroup (see reconciler doctor)"
		missing(g.s, "memory.peak", why)
		missing(g.s, "oomKills", why)
	}
	if g.slow.pids {
		g.taskLimit = nil
		into(g, "pids.max", "taskLimit", "", func(b *spec.Bound) { g.taskLimit = b }, bound)
	}
	const why = "this kernel doesn't measure it (CONFIG_PSI, psi=1)"
	p := &g.pressure
	into(g, "cpu.pressure", "pressure.cpu", why, func(s *spec.Stalls) { p.CPU = s }, pressure)
	into(g, "memory.pressure", "pressure.memory", why, func(s *spec.Stalls) { p.Memory = s }, pressure)
	into(g, "io.pressure", "pressure.io", why, func(s *spec.Stalls) { p.IO = s }, pressure)
	g.missing, g.s.Missing = g.s.Missing, keep
}

// into reads a file and has parse take it apart. A file that the kernel hasn't, because it is too old or a controller isn't there, is no figure, and why is the reason; empty: one that nobody
// can do something about.
func into[T any](g *group, file, field, why string, set func(T), parse func([]byte) (T, error)) {
	read := g.files.read
	if g.seldom {
		read = g.files.readSeldom
	}
	text, err := read(g.dir + "/" + file)
	if err == nil {
		var v T
		if v, err = parse(text); err == nil {
			set(v)
			return
		}
	}
	switch {
	case !isGone(err) && !errors.Is(err, unix.EOPNOTSUPP):
		missing(g.s, field, fmt.Sprintf("read %s of the cgroup: %v", file, err))
	case why != "":
		missing(g.s, field, why)
	}
}

// processes lists the processes in the cgroup and in those below it. The error is that the cgroup is gone; what else can't be read is missing.
func (g *group) processes() error {
	pids, err := g.pidsIn(g.dir)
	if err != nil && isGone(err) {
		return err
	}
	if err != nil {
		missing(g.s, "pids", fmt.Sprintf("list the processes of the cgroup: %v", err))
		return nil
	}
	slices.Sort(pids)
	g.s.PIDs = slices.Compact(pids)
	return nil
}

func (g *group) pidsIn(dir string) (pids []int, err error) {
	text, err := g.files.list(dir + "/cgroup.procs")
	if err != nil && !errors.Is(err, unix.EOPNOTSUPP) { // EOPNOTSUPP: a threaded cgroup, whose processes its root lists
		return nil, err
	}
	for word := range bytes.FieldsSeq(text) {
		if n, err := number(word); err == nil && n > 0 { // 0: in a PID namespace that we don't see
			pids = append(pids, int(n))
		}
	}
	if !g.below {
		return pids, nil
	}
	below, err := os.ReadDir(dir)
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return nil, err
	}
	for _, e := range below {
		if e.IsDir() {
			more, err := g.pidsIn(filepath.Join(dir, e.Name()))
			if err != nil && !isGone(err) {
				return nil, err
			}
			pids = append(pids, more...)
		}
	}
	return pids, nil
}

func unlimited(to **spec.Bound) {
	most := spec.Unbounded
	*to = &most
}

func (g *group) memoryUse() {
	if !g.memory {
		return
	}
	m := &g.s.Memory
	into(g, "memory.current", "memory.current", "", func(n *int64) { m.Current = n }, single)
	into(g, "memory.peak", "memory.peak", "this kernel doesn't keep it (Linux 5.19)", func(n *int64) { m.Peak = n }, single)
	into(g, "memory.stat", "memory.anon", "", func(v [2]*int64) { m.Anon, m.File = v[0], v[1] }, memoryStat)
	into(g, "memory.events", "oomKills", "", func(n *int64) { g.s.OOMKills = n }, func(text []byte) (kills *int64, err error) {
		err = keyed(text, func(key []byte, n int64) {
			if string(key) == "oom_kill" {
				kills = &n
			}
		})
		return kills, err
	})
}

// memoryStat reads the two figures of memory.stat that are wanted, which come first in it.
func memoryStat(text []byte) (v [2]*int64, err error) {
	for i, key := range []string{"anon ", "file "} {
		line, rest, _ := bytes.Cut(text, []byte("\n"))
		if !strings.HasPrefix(string(line), key) {
			return v, fmt.Errorf("%w: %q", errFormat, line)
		}
		if v[i], err = single(line[len(key):]); err != nil {
			return v, err
		}
		text = rest
	}
	return v, nil
}

func (g *group) others() {
	if g.io {
		into(g, "io.stat", "io", "", func(u spec.IOUse) { g.s.IO = u }, func(text []byte) (spec.IOUse, error) { return ioStat(text, g.counts) })
	}
	if g.slow.pids {
		into(g, "pids.current", "tasks", "", func(n *int64) { g.s.Tasks = n }, single)
	}
}

// counts tells whether a block device, MAJOR:MINOR, is made of no others: see /sys/block/DEVICE/slaves in the kernel's documentation of sysfs.
func (r *Reader) counts(device string) bool {
	yes, known := r.devices[device]
	if !known {
		below, err := os.ReadDir("/sys/dev/block/" + filepath.Base(device) + "/slaves")
		yes = err != nil || len(below) == 0
		if r.devices == nil {
			r.devices = map[string]bool{}
		}
		r.devices[device] = yes
	}
	return yes
}
