package usage

import (
	"bytes"
	"fmt"
	"os"
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
func (r *Reader) readTree(s *spec.Sample) {
	t := tree{Reader: r, s: s, procs: make(map[process]times, len(s.PIDs))}
	now, last := &tally{instance: s.Instance}, r.tallies[s.Name]
	if last != nil && last.instance != s.Instance {
		last = nil
	}
	if r.tallies == nil {
		r.tallies = map[string]*tally{}
	}
	r.tallies[s.Name] = now
	if s.CPU.Usage == nil || s.Tasks == nil {
		if t.each("cpu", t.stat) && s.CPU.Usage == nil {
			user, system := now.cpuOf(t.procs, last)
			all := user + system
			s.CPU.Usage, s.CPU.User, s.CPU.System = &all, &user, &system
		}
		if s.Tasks == nil {
			s.Tasks = &t.tasks
		}
	}
	if s.Memory.Current == nil {
		var kb [3]int64
		if t.each("memory.current", func(dir string) error { return t.rollup(dir, &kb) }) {
			s.Memory.Current, s.Memory.Anon, s.Memory.File = bytesOf(kb[0]), bytesOf(kb[1]), bytesOf(kb[2])
		}
	}
	if s.IO.ReadBytes == nil {
		var sum counts
		if t.each("io", func(dir string) error { return t.io(dir, &sum) }) {
			s.IO = now.ioOf(sum, last)
		}
	}
	t.openFiles()
}

func bytesOf(kb int64) *int64 {
	n := kb << 10
	return &n
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
	text, err := t.buf.read(dir + "/stat")
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

// rollup adds a process's share of the memory that it has in use, in kB: all, anonymous, and of files and shared memory. One that has ended has none.
func (t *tree) rollup(dir string, kb *[3]int64) error {
	text, err := t.buf.read(dir + "/smaps_rollup")
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
		kb[i] += n
	}
	return nil
}

func (t *tree) io(dir string, sum *counts) error {
	text, err := t.buf.read(dir + "/io")
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
func (t *tree) openFiles() {
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
		t.s.OpenFiles = &sum
	}
}
