package cgroup

import (
	"errors"
	"fmt"
	"os"
	"path"
	"path/filepath"
	"slices"
	"strconv"
	"strings"

	"golang.org/x/sys/unix"

	"reconciler.dev/reconciler/pkg/drivers"
	"reconciler.dev/reconciler/pkg/drivers/process"
	"reconciler.dev/reconciler/pkg/spec"
)

// limit is one limit of a manifest and the file that holds it: see "Controllers" in cgroup-v2.rst.
type limit struct {
	// field is that of the manifest, below spec.cgroup.
	field, controller, file string
	// text is what is written for a manifest; empty: it asks for nothing.
	text func(*spec.Cgroup) string
	// none is what is written for no limit.
	none string
	// show makes of the file's content what a manifest would say, empty where that limits nothing.
	show func(content string) string
}

// limits are all that a manifest may ask for.
func limits() []limit {
	return []limit{
		{"cpuLimit", "cpu", "cpu.max", func(c *spec.Cgroup) string { return cpuMax(c.CPULimit) }, "max 100000", showCPU},
		{"memoryLimit", "memory", "memory.max", func(c *spec.Cgroup) string { return bytesMax(c.MemoryLimit) }, "max", showBytes},
		{"memoryHigh", "memory", "memory.high", func(c *spec.Cgroup) string { return bytesMax(c.MemoryHigh) }, "max", showBytes},
		{"pidsLimit", "pids", "pids.max", func(c *spec.Cgroup) string { return positive(c.PidsLimit) }, "max", showCount},
		{"cpuWeight", "cpu", "cpu.weight", func(c *spec.Cgroup) string { return positive(int64(c.CPUWeight)) }, "100", showWeight},
		{"ioWeight", "io", "io.weight", func(c *spec.Cgroup) string { return positive(int64(c.IOWeight)) }, "100", showWeight},
	}
}

func (l limit) name() string { return "spec.cgroup." + l.field }

// asked is what is written for c, which may be nil; empty: it asks for nothing.
func (l limit) asked(c *spec.Cgroup) string {
	if c == nil {
		return ""
	}
	return l.text(c)
}

// cpuMax is a quota in microseconds and the period that it is for. The kernel wants a quota of a millisecond at least, so that a small one has a longer period, a second at most.
func cpuMax(c spec.CPU) string {
	const period, longest, least = 100_000, 1_000_000, 1_000
	switch quota := int64(c) * period / 1000; {
	case c == 0:
		return ""
	case quota >= least:
		return fmt.Sprintf("%d %d", quota, period)
	default:
		return fmt.Sprintf("%d %d", max(int64(c)*longest/1000, least), longest)
	}
}

// bytesMax is a limit of memory, which the kernel rounds down to whole pages.
func bytesMax(b spec.Bytes) string {
	if b == 0 || b == spec.Unlimited {
		return ""
	}
	page := spec.Bytes(os.Getpagesize())
	return strconv.FormatInt(int64(b/page*page), 10)
}

func positive(n int64) string {
	if n <= 0 {
		return ""
	}
	return strconv.FormatInt(n, 10)
}

func showCPU(content string) string {
	f := strings.Fields(content)
	if len(f) != 2 || f[0] == "max" {
		return ""
	}
	quota, err := strconv.ParseInt(f[0], 10, 64)
	period, perr := strconv.ParseInt(f[1], 10, 64)
	if err != nil || perr != nil || period == 0 {
		return content
	}
	return strconv.FormatFloat(float64(quota)*100/float64(period), 'f', -1, 64) + "%"
}

func showBytes(content string) string {
	n, err := strconv.ParseInt(content, 10, 64)
	if err != nil {
		return showCount(content)
	}
	return spec.Bytes(n).String()
}

func showCount(content string) string {
	if content == "max" {
		return ""
	}
	return content
}

// showWeight reads a weight: "100", or "default 100" and then lines for single devices.
func showWeight(content string) string {
	first, _, _ := strings.Cut(content, "\n")
	if w := strings.TrimPrefix(first, "default "); w != "100" {
		return w
	}
	return ""
}

// beside are files that go with the memory limit.
//
// memory.oom.group: where memory runs out the kernel ends the whole daemon, and not one process of it that leaves a master without its worker; it is what systemd comes to as well.
// memory.swap.max: a limit of memory is one of all memory. With swap beside it a daemon that leaks would fill that, and slow down the machine, before it met its limit.
func beside(c *spec.Cgroup) (files [][2]string) {
	swap := "max"
	if c != nil && bytesMax(c.MemoryLimit) != "" {
		swap = "0"
	}
	return [][2]string{{"memory.oom.group", "1"}, {"memory.swap.max", swap}}
}

// limitNew puts the limits of a new leaf in force. Those that nobody can put in force here are left out, unless they are required: Look says what is lost.
func (ts *trees) limitNew(place string, s *spec.Spec) error {
	ts.controllers.enable(place, s.Cgroup, false)
	for _, l := range limits() {
		if text := l.asked(s.Cgroup); text != "" {
			if err := ts.write(place, l, text, s.Cgroup); err != nil {
				return err
			}
		}
	}
	return writeBeside(ts.sub.dir(place), s.Cgroup, true)
}

// write writes one limit. One that has no file here is an error only where it is required.
func (ts *trees) write(place string, l limit, text string, c *spec.Cgroup) error {
	file, required := filepath.Join(ts.sub.dir(place), l.file), c != nil && c.Required
	err := writeFile(file, text)
	if errors.Is(err, unix.ENOENT) {
		ts.controllers.enable(place, c, true) // what was in the way may have gone
		err = writeFile(file, text)
	}
	switch {
	case err == nil, errors.Is(err, unix.ENOENT) && !required:
		return nil
	case errors.Is(err, unix.ENOENT):
		return drivers.Refusal(spec.Loss{Field: l.name(), Reason: ts.whyLost(l, place)})
	case errors.Is(err, unix.EINVAL), errors.Is(err, unix.ERANGE):
		return fmt.Errorf("%s: the kernel doesn't take %q for %s (%w): %w", l.name(), text, l.file, err, drivers.ErrPermanent)
	}
	return fmt.Errorf("%s: write %s: %w", l.name(), l.file, err)
}

// writeBeside writes the files that go with the memory limit, where the kernel has them; in a new leaf only what differs from how leaves are made.
func writeBeside(dir string, c *spec.Cgroup, fresh bool) error {
	for _, f := range beside(c) {
		if fresh && f[1] == "max" {
			continue
		}
		if err := writeFile(filepath.Join(dir, f[0]), f[1]); err != nil && !errors.Is(err, unix.ENOENT) {
			return fmt.Errorf("write %s: %w", f[0], err)
		}
	}
	return nil
}

// Limit puts the limits of a running daemon in force: those that are as they should be are not touched.
func (ts *trees) Limit(t process.Tree, m *process.Mark) error {
	dir, err := ts.dirOf(t)
	if err != nil {
		return err
	}
	c := m.Stamp.Spec.Cgroup
	ts.controllers.enable(t.Place, c, true)
	for _, l := range limits() {
		text := l.asked(c)
		want := l.want(text)
		have, err := readFile(filepath.Join(dir, l.file))
		switch {
		case err == nil && l.show(have) == want, errors.Is(err, unix.ENOENT) && text == "":
			continue
		case text == "":
			text = l.none
		}
		if err := ts.write(t.Place, l, text, c); err != nil {
			return err
		}
	}
	if err := writeBeside(dir, c, false); err != nil {
		return err
	}
	data, err := encodeLabel(ts.run, m)
	if err != nil {
		return err
	}
	if err := unix.Setxattr(dir, attrLeaf, data, 0); err != nil {
		return fmt.Errorf("mark cgroup %s: %w", dir, err)
	}
	return nil
}

// want is what the file shows once text was written.
func (l limit) want(text string) string {
	if text == "" {
		return ""
	}
	return l.show(text)
}

// Look reads the limits back. A file that isn't there is a limit lost; one that says something else than the manifest was changed by somebody.
func (ts *trees) Look(t process.Tree, s *spec.Spec, o *spec.Observed) error {
	dir, err := ts.dirOf(t)
	if err != nil {
		return err
	}
	o.Cgroup = t.Place
	if err := ts.lookAtMain(t, o); err != nil {
		return err
	}
	there := words(dir, "cgroup.controllers") // one file read, where most of the others aren't there
	for _, l := range limits() {
		want := l.want(l.asked(s.Cgroup))
		have, err := "", error(unix.ENOENT)
		if slices.Contains(there, l.controller) {
			have, err = readFile(filepath.Join(dir, l.file))
		}
		switch {
		case errors.Is(err, unix.ENOENT) || errors.Is(err, unix.ENODEV):
			if l.asked(s.Cgroup) != "" {
				o.Lost = append(o.Lost, spec.Loss{Field: l.name(), Reason: ts.whyLost(l, t.Place)})
			}
			continue
		case err != nil:
			return fmt.Errorf("read %s of cgroup %s: %w", l.file, dir, err)
		}
		if have = l.show(have); have != "" {
			o.Limits = append(o.Limits, spec.Limit{Field: l.name(), Value: have})
		}
		if have != want {
			o.Drift = append(o.Drift, spec.Drift{Field: l.name(), Want: orNone(want), Have: orNone(have), Class: spec.Live})
		}
	}
	return nil
}

// lookAtMain notes where the main process is, if somebody moved it out of its leaf: what is written there limits it no more.
func (ts *trees) lookAtMain(t process.Tree, o *spec.Observed) error {
	if o.Instance == nil || o.Instance.PID == 0 {
		return nil
	}
	now, err := groupOf(o.Instance.PID)
	if leaf := ts.sub.mount.group(t.Place); err == nil && now != "" && !isIn(now, leaf) {
		o.Drift = append(o.Drift, spec.Drift{Field: "spec.cgroup", Want: leaf, Have: now, Class: spec.Restarted})
	}
	return err
}

func orNone(limit string) string {
	if limit == "" {
		return "no limit"
	}
	return limit
}

// Lost lists the limits that a leaf of this daemon wouldn't have.
func (ts *trees) Lost(name string, s *spec.Spec) (lost []spec.Loss) {
	place, err := placeOf(name, s.Cgroup)
	if err != nil || ts.none != nil {
		return nil // Place says it
	}
	place = path.Join(ts.sub.rel, place)
	for _, l := range limits() {
		if l.asked(s.Cgroup) == "" {
			continue
		}
		if why := ts.controllers.why(l, place); why != "" {
			lost = append(lost, spec.Loss{Field: l.name(), Reason: why})
		}
	}
	return lost
}

// whyLost says why a limit of a leaf has no file.
func (ts *trees) whyLost(l limit, place string) string {
	if why := ts.controllers.why(l, place); why != "" {
		return why
	}
	return fmt.Sprintf("the %s controller wasn't there when it was started; restart it", l.controller)
}

// writeFile writes a file of the kernel's, in one write.
func writeFile(path, text string) error {
	fd, err := unix.Open(path, unix.O_WRONLY|unix.O_CLOEXEC, 0)
	if err != nil {
		return err
	}
	defer unix.Close(fd)
	for {
		_, err := unix.Write(fd, []byte(text))
		if err != unix.EINTR {
			return err
		}
	}
}

// maxFile is more than any of the files that are read with readFile has.
const maxFile = 4 << 10

// readFile reads a small file of the kernel's, less the newline at its end.
func readFile(path string) (string, error) {
	fd, err := unix.Open(path, unix.O_RDONLY|unix.O_CLOEXEC, 0)
	if err != nil {
		return "", err
	}
	defer unix.Close(fd)
	var buf [maxFile]byte
	for {
		n, err := unix.Read(fd, buf[:])
		if err != unix.EINTR {
			return strings.TrimSuffix(string(buf[:max(n, 0)]), "\n"), err
		}
	}
}
