package usage

import (
	"bytes"
	"fmt"
	"os"
	"slices"
	"strconv"
	"time"

	"golang.org/x/sys/unix"

	"reconciler.dev/reconciler/internal/procfs"
	"reconciler.dev/reconciler/pkg/spec"
)

// tree is a look at all processes of an instance: what it adds up is known where it is known of each.
type tree struct {
	*Reader
	s     *spec.Sample
	procs map[process]times
	tasks int64
}

// readTree fills in what the processes' files in /proc say of what isn't known yet. A process that has gone by now is left out.
func (r *Reader) readTree(s *spec.Sample, m *memory) {
	t := tree{Reader: r, s: s}
	now, last := &tally{}, m.last
	m.last = now
	if s.CPU.Usage == nil {
		t.procs = make(map[process]times, len(s.PIDs))
		if t.each("cpu", t.stat) {
			user, system := now.cpuOf(t.procs, last)
			all := user + system
			s.CPU.Usage, s.CPU.User, s.CPU.System, s.Tasks = &all, &user, &system, &t.tasks
		}
	}
	m.count(s, &t)
	if s.Memory.Current == nil {
		var b [3]int64
		look := t.rollup
		if len(s.PIDs) == 1 {
			look = t.resident
		}
		if t.each("memory.current", func(dir string) error { return look(dir, &b) }) {
			s.Memory.Current, s.Memory.Anon, s.Memory.File = &b[0], &b[1], &b[2]
		}
	}
	if s.IO.ReadBytes == nil {
		var sum counts
		if t.each("io", func(dir string) error { return t.io(dir, &sum) }) {
			s.IO = now.ioOf(sum, last)
		}
	}
}

// counted is what is counted of processes, and believed for slowPause as long as they are the same.
type counted struct {
	at               time.Duration
	of               []int
	tasks, openFiles *int64
}

// count fills in what is counted.
func (m *memory) count(s *spec.Sample, t *tree) {
	if c := &m.counted; c.at == 0 || s.Clock-c.at >= slowPause || !slices.Equal(c.of, s.PIDs) {
		*c = counted{at: s.Clock, of: s.PIDs}
		if s.Tasks == nil && t.each("tasks", t.threads) {
			c.tasks = &t.tasks
		}
		c.openFiles = t.openFiles()
	}
	if s.OpenFiles = m.counted.openFiles; s.Tasks == nil {
		s.Tasks = m.counted.tasks
	}
}

// each looks at each process, and tells whether it could look at all of them, and there was one. What can't be looked at is missing as field.
func (t *tree) each(field string, look func(dir string) error) bool {
	seen := false
	for _, pid := range t.s.PIDs {
		switch err := look("/proc/" + strconv.Itoa(pid)); {
		case err == nil:
			seen = true
		case !isGone(err):
			missing(t.s, field, fmt.Sprintf("look at process %d: %v", pid, err))
			return false
		}
	}
	return seen
}

// The places in /proc/PID/stat of what is wanted, from the state, behind the command, on: see proc_pid_stat(5).
const (
	statTimes, statThreads, statStart = 11, 17, 19
)

// tick is the unit of times in /proc/PID/stat.
const tick = time.Second / procfs.Ticks

func (t *tree) stat(dir string) error {
	text, err := t.files.read(dir + "/stat")
	if err != nil {
		return err
	}
	var v [statStart + 1]int64
	i := 0
	for word := range bytes.FieldsSeq(text[bytes.LastIndexByte(text, ')')+1:]) {
		if i > statStart {
			break
		}
		v[i], _ = number(word) // some are negative, or letters
		i++
	}
	pid, err := number(text[:max(0, bytes.IndexByte(text, ' '))])
	if err != nil || i <= statStart {
		return fmt.Errorf("%w: %q", errFormat, text)
	}
	at := v[statTimes:]
	t.procs[process{int(pid), v[statStart]}] = times{time.Duration(at[0]) * tick, time.Duration(at[1]) * tick, time.Duration(at[2]) * tick, time.Duration(at[3]) * tick}
	t.tasks += v[statThreads]
	return nil
}

// threads counts the threads of a process, whose folder has a folder for each, and two for itself and what is above.
func (t *tree) threads(dir string) error {
	var st unix.Stat_t
	if err := unix.Stat(dir+"/task", &st); err != nil {
		return err
	}
	t.tasks += int64(st.Nlink) - 2
	return nil
}

// resident adds the memory that a process has in use, as rollup does, at less cost. What it shares with others isn't told apart from what it has for itself: see proc_pid_statm(5).
func (t *tree) resident(dir string, b *[3]int64) error {
	text, err := t.files.read(dir + "/statm")
	if err != nil {
		return err
	}
	words := bytes.Fields(text)
	if len(words) < 3 {
		return fmt.Errorf("%w: %q", errFormat, text)
	}
	all, err := number(words[1])
	shared, err2 := number(words[2])
	if err != nil || err2 != nil {
		return fmt.Errorf("%w: %q", errFormat, text)
	}
	page := int64(os.Getpagesize())
	b[0], b[1], b[2] = b[0]+all*page, b[1]+max(0, all-shared)*page, b[2]+shared*page
	return nil
}

// rollup adds a process's share of the memory that it has in use: all, anonymous, and of files and shared memory. One that has ended has none.
func (t *tree) rollup(dir string, b *[3]int64) error {
	text, err := t.files.read(dir + "/smaps_rollup")
	if err != nil {
		return err
	}
	for line := range bytes.Lines(text) {
		key, value, _ := bytes.Cut(line, []byte(":"))
		i := -1
		switch string(key) {
		case "Pss":
			i = 0
		case "Pss_Anon":
			i = 1
		case "Pss_File", "Pss_Shmem":
			i = 2
		default:
			continue
		}
		n, err := number(bytes.TrimSpace(bytes.TrimSuffix(bytes.TrimSpace(value), []byte("kB"))))
		if err != nil {
			return fmt.Errorf("%w: %q", errFormat, line)
		}
		b[i] += n << 10
	}
	return nil
}

func (t *tree) io(dir string, sum *counts) error {
	text, err := t.files.read(dir + "/io")
	if err != nil {
		return err
	}
	for line := range bytes.Lines(text) {
		key, value, _ := bytes.Cut(line, []byte(": "))
		n, err := number(bytes.TrimSpace(value))
		switch {
		case err != nil:
			return fmt.Errorf("%w: %q", errFormat, line)
		case string(key) == "read_bytes":
			sum.read += n
		case string(key) == "write_bytes":
			sum.write += n
		}
	}
	return nil
}

// openFiles counts the open files of all processes. Since Linux 6.2 the size of the directory is their number.
func (t *tree) openFiles() *int64 {
	sum := int64(0)
	if t.each("openFiles", func(dir string) error {
		var st unix.Stat_t
		err := unix.Stat(dir+"/fd", &st)
		if err == nil && st.Size == 0 {
			var all []os.DirEntry
			all, err = os.ReadDir(dir + "/fd")
			st.Size = int64(len(all))
		}
		sum += st.Size
		return err
	}) {
		return &sum
	}
	return nil
}
