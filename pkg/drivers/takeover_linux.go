package drivers

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"os"
	osuser "os/user"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"time"

	"golang.org/x/sys/unix"

	"reconciler.dev/reconciler/internal/procfs"
	"reconciler.dev/reconciler/internal/spawn"
	"reconciler.dev/reconciler/pkg/spec"
)

// FindCandidate finds the process that c means by its number or its file, and refuses what can't be a daemon to take over: the kernel's processes, the first one, this program and those
// that it comes from, what has ended, and one that has the number now and isn't the one that was meant.
func FindCandidate(c spec.Candidate) (procfs.Stat, error) {
	pid, written := c.PID, time.Time{}
	if c.PIDFile != "" {
		var err error
		if pid, written, err = readPIDFile(c.PIDFile); err != nil {
			return procfs.Stat{}, fmt.Errorf("read the PID file %s: %w", c.PIDFile, err)
		}
	}
	if pid <= 1 {
		return procfs.Stat{}, fmt.Errorf("process %d is none that can be taken over: %w", pid, ErrPermanent)
	}
	st, err := procfs.ReadStat(pid)
	switch {
	case errors.Is(err, procfs.ErrGone), err == nil && st.Dead():
		return st, fmt.Errorf("there is no process %d any more%s: %w", pid, stale(c), ErrNotFound)
	case err != nil:
		return st, err
	case c.StartTicks != 0 && st.Start != c.StartTicks:
		return st, fmt.Errorf("process %d isn't the one that was looked at: another has its number now: %w", pid, ErrMoved)
	case st.PPID == 2 || pid == 2 && st.PPID == 0:
		return st, fmt.Errorf("process %d is the kernel's own: %w", pid, ErrPermanent)
	}
	// What a file says may be older than its process only where somebody else has the number now. The clocks of files and of processes are no finer than this.
	if began := time.Now().Add(-procfs.Age(st.Start)); !written.IsZero() && began.After(written.Add(2*time.Second)) {
		return st, fmt.Errorf("the PID file is from %s, and process %d began later, at %s: another has the number now%s: %w",
			written.Format(time.DateTime), pid, began.Format(time.DateTime), stale(c), ErrPermanent)
	}
	return st, checkCandidate(st)
}

func stale(c spec.Candidate) string {
	if c.PIDFile == "" {
		return ""
	}
	return "; the PID file is stale"
}

func checkCandidate(st procfs.Stat) error {
	id, err := procfs.ReadIdentity(st.PID)
	if err != nil {
		return err
	}
	if id.Process != st.PID {
		return fmt.Errorf("%d is a thread of process %d, which is the one to name: %w", st.PID, id.Process, ErrPermanent)
	}
	for above := os.Getpid(); above > 1; {
		if above == st.PID {
			return fmt.Errorf("process %d is this program, or what it was started by: %w", st.PID, ErrPermanent)
		}
		one, err := procfs.ReadStat(above)
		if err != nil {
			return err
		}
		above = one.PPID
	}
	if euid := os.Geteuid(); euid != 0 && int(id.UID) != euid {
		return fmt.Errorf("process %d is user %d's, and reconciler runs as user %d; run it as that user, or as root: %w", st.PID, id.UID, euid, ErrPermanent)
	}
	return nil
}

// maxPIDFile is more than a file with a number in it has.
const maxPIDFile = 64

// readPIDFile reads a number from a file that nobody can have forged who couldn't have ended the process as well.
func readPIDFile(path string) (pid int, written time.Time, err error) {
	if !filepath.IsAbs(path) {
		return 0, written, fmt.Errorf("the path of a PID file is absolute: %w", ErrPermanent)
	}
	fd, err := unix.Open(path, unix.O_RDONLY|unix.O_NOFOLLOW|unix.O_NONBLOCK|unix.O_CLOEXEC, 0)
	if errors.Is(err, unix.ELOOP) {
		return 0, written, fmt.Errorf("it is a symbolic link; name the file itself: %w", ErrPermanent)
	}
	if errors.Is(err, unix.ENOENT) {
		return 0, written, fmt.Errorf("there is none: %w", ErrNotFound)
	}
	if err != nil {
		return 0, written, err
	}
	f := os.NewFile(uintptr(fd), path)
	defer f.Close()
	var st unix.Stat_t
	if err := unix.Fstat(fd, &st); err != nil {
		return 0, written, err
	}
	if st.Mode&unix.S_IFMT != unix.S_IFREG {
		return 0, written, fmt.Errorf("it is no regular file: %w", ErrPermanent)
	}
	text, err := io.ReadAll(io.LimitReader(f, maxPIDFile+1))
	if err != nil {
		return 0, written, err
	}
	pid, err = strconv.Atoi(string(bytes.TrimSpace(text)))
	if err != nil || len(text) > maxPIDFile || pid <= 0 {
		return 0, written, fmt.Errorf("what it holds is no process number: %w", ErrPermanent)
	}
	id, err := procfs.ReadIdentity(pid)
	if errors.Is(err, procfs.ErrGone) {
		return 0, written, fmt.Errorf("there is no process %d any more; it is stale: %w", pid, ErrNotFound)
	}
	if err != nil {
		return 0, written, err
	}
	switch owner := st.Uid; {
	case owner != 0 && int(owner) != os.Geteuid() && owner != id.UID:
		return 0, written, fmt.Errorf("it is user %d's, who could have written any number into it, and process %d is user %d's; if that is the one, name it by its number: %w", owner, pid, id.UID, ErrPermanent)
	case st.Mode&0o022 != 0 && !(st.Mode&0o002 == 0 && st.Gid == 0):
		return 0, written, fmt.Errorf("others than its owner may write it (mode %04o), so it proves nothing; name the process with pid=%d if that is the one: %w", st.Mode&0o7777, pid, ErrPermanent)
	}
	return pid, time.Unix(st.Mtim.Unix()), nil
}

// UnitOfProcess is the unit that systemd has a process in, empty where it is in none or no systemd is here.
func UnitOfProcess(pid int) string {
	if _, err := os.Stat("/run/systemd/system"); err != nil { // sd_booted(3)
		return ""
	}
	parts := strings.Split(CgroupOfProcess(pid), "/")
	for _, p := range slices.Backward(parts) {
		if strings.HasSuffix(p, ".service") || strings.HasSuffix(p, ".scope") {
			return p
		}
	}
	return ""
}

// CgroupOfProcess is the path of the cgroup of a process in cgroup v2, empty where it has none.
func CgroupOfProcess(pid int) string {
	text, _ := os.ReadFile("/proc/" + strconv.Itoa(pid) + "/cgroup") // gone is as good as nowhere
	for line := range strings.Lines(string(text)) {
		if path, ok := strings.CutPrefix(line, "0::"); ok {
			return strings.TrimSuffix(path, "\n")
		}
	}
	return ""
}

// Compare looks at the process st and says what of want it isn't. started is how it was started, where that is known better than from what it calls itself; nil where not.
func Compare(want *spec.Daemon, st procfs.Stat, started []string) (*spec.Takeover, error) {
	s := &want.Spec
	switch {
	case len(s.Listen) > 0:
		return nil, fmt.Errorf("spec.listen: a process that runs can't be handed sockets; leave it out of the manifest, adopt, and put it in again: that restarts the daemon: %w", ErrUnsupported)
	case s.Slots():
		return nil, fmt.Errorf("spec.update.strategy: a daemon that is started beside itself begins with a start; leave StartFirst out of the manifest, adopt, and put it in again: %w", ErrUnsupported)
	}
	look := &comparison{want: want, pid: st.PID, dir: "/proc/" + strconv.Itoa(st.PID) + "/"}
	t := &look.found
	t.Candidate = spec.Candidate{PID: st.PID, StartTicks: st.Start}
	t.Since, t.Cgroup = time.Now().Add(-procfs.Age(st.Start)), CgroupOfProcess(st.PID)
	t.Output = readLink(look.dir + "fd/1")
	if err := errors.Join(look.command(started), look.account(), look.surroundings()); err != nil {
		return nil, err
	}
	look.environment()
	look.limits()
	if s.Sandbox != nil {
		look.differs("spec.sandbox", "in force", "as it was started: a sandbox is put up before a program begins")
	}
	return t, nil
}

// comparison is a look at one process.
type comparison struct {
	want  *spec.Daemon
	pid   int
	dir   string
	found spec.Takeover
}

func (c *comparison) differs(field, want, have string) {
	if want != have {
		c.found.Pending = append(c.found.Pending, spec.Drift{Field: field, Want: brief(want), Have: brief(have), Class: spec.Restarted})
	}
}

// maxText is how much of a text a difference shows.
const maxText = 1 << 10

func brief(s string) string {
	if len(s) > maxText {
		s = strings.ToValidUTF8(s[:maxText], "") + "…"
	}
	return s
}

func readLink(path string) string {
	to, _ := os.Readlink(path) // who may not know is told nothing
	return to
}

// command compares the program and its arguments.
func (c *comparison) command(started []string) error {
	argv, err := procfs.CommandLine(c.pid)
	if err != nil {
		return err
	}
	c.found.Command = argv
	s := &c.want.Spec
	exe, err := os.Readlink(c.dir + "exe")
	if err != nil {
		return fmt.Errorf("look which program process %d is: %w", c.pid, err)
	}
	wanted := append([]string{s.Binary}, s.Args...)
	if slices.Equal(started, wanted) && sameFile(c.dir+"exe", s.Binary) {
		return nil
	}
	args := argv[min(1, len(argv)):]
	if i := slices.Index(argv, s.Binary); !sameFile(c.dir+"exe", s.Binary) && i > 0 && i < 4 && isScript(s.Binary) {
		args, exe = argv[i+1:], s.Binary
	} else if sameFile(c.dir+"exe", s.Binary) {
		exe = s.Binary
	}
	c.differs("spec.binary", s.Binary, exe)
	c.differs("spec.args", quoted(s.Args), quoted(args))
	return nil
}

// quoted writes arguments so that each is told from the next.
func quoted(args []string) string {
	if len(args) == 0 {
		return "[]"
	}
	return fmt.Sprintf("%q", args)
}

func sameFile(a, b string) bool {
	x, err := os.Stat(a)
	y, err2 := os.Stat(b)
	return err == nil && err2 == nil && os.SameFile(x, y)
}

// isScript tells whether a file names its interpreter.
func isScript(path string) bool {
	f, err := os.Open(path)
	if err != nil {
		return false
	}
	defer f.Close()
	var b [2]byte
	_, err = io.ReadFull(f, b[:])
	return err == nil && string(b[:]) == "#!"
}

// account compares who it runs as.
func (c *comparison) account() error {
	id, err := procfs.ReadIdentity(c.pid)
	if err != nil {
		return err
	}
	c.found.User = userName(id.UID)
	want, _, err := spawn.LookupAccount(c.want.Spec.User, c.want.Spec.Group)
	if err != nil {
		return fmt.Errorf("%w: %w", err, ErrPermanent)
	}
	c.differs("spec.user", userName(want.UID), userName(id.UID))
	c.differs("spec.group", groupName(want.GID), groupName(id.GID))
	if m := c.want.Spec.Umask; m != nil {
		c.differs("spec.umask", fmt.Sprintf("%04o", int(*m)), fmt.Sprintf("%04o", id.Umask))
	}
	return nil
}

func userName(uid uint32) string {
	id := strconv.Itoa(int(uid))
	if u, err := osuser.LookupId(id); err == nil {
		return u.Username
	}
	return id
}

func groupName(gid uint32) string {
	id := strconv.Itoa(int(gid))
	if g, err := osuser.LookupGroupId(id); err == nil {
		return g.Name
	}
	return id
}

// surroundings compares the working directory and the priority.
func (c *comparison) surroundings() error {
	var err error
	if c.found.Dir, err = os.Readlink(c.dir + "cwd"); err != nil {
		return fmt.Errorf("look where process %d is: %w", c.pid, err)
	}
	if dir := c.want.Spec.WorkingDir; dir != "" && !sameFile(c.dir+"cwd", dir) {
		c.differs("spec.workingDir", dir, c.found.Dir)
	}
	nice, err := unix.Getpriority(unix.PRIO_PROCESS, c.pid)
	if err != nil {
		return fmt.Errorf("look at the priority of process %d: %w", c.pid, err)
	}
	c.differs("spec.nice", strconv.Itoa(c.want.Spec.Nice), strconv.Itoa(20-nice)) // the system call returns 20 - nice
	return nil
}

// environment compares the variables of the manifest, and notes the others. Values aren't told.
func (c *comparison) environment() {
	all, err := procfs.Environ(c.pid)
	if err != nil {
		c.differs("spec.env", "as the manifest says", "unknown: "+err.Error())
		return
	}
	have := map[string]string{}
	for _, kv := range all {
		name, value, _ := strings.Cut(kv, "=")
		have[name] = value
		c.found.Env = append(c.found.Env, name)
	}
	slices.Sort(c.found.Env)
	var more []string
	for _, name := range c.found.Env {
		if _, known := c.want.Spec.Env[name]; !known && !slices.Contains([]string{"PATH", "HOME", "USER", "LOGNAME", "SHELL", "LANG"}, name) {
			more = append(more, name)
		}
	}
	if len(more) > 0 {
		const most = 8
		names := strings.Join(more[:min(most, len(more))], " ")
		if len(more) > most {
			names += fmt.Sprintf(" and %d more", len(more)-most)
		}
		c.found.Notes = append(c.found.Notes, "it has variables that the manifest doesn't say, and won't have them after its next start: "+brief(names))
	}
	for name, v := range c.want.Spec.Env {
		want := ""
		if secret, ok := c.want.Secrets[name]; ok {
			want = secret.Reveal()
		} else if v.Value != nil {
			want = *v.Value
		}
		is, set := have[name]
		switch {
		case !set:
			c.differs("spec.env."+name, "set", "not set")
		case is != want:
			c.differs("spec.env."+name, "as the manifest says", "another value")
		}
	}
	slices.SortStableFunc(c.found.Pending, func(a, b spec.Drift) int { return strings.Compare(a.Field, b.Field) })
}

// limits compares the process limits, which can be changed at once.
func (c *comparison) limits() {
	for name, want := range c.want.Spec.Rlimits {
		have, err := spawn.LimitOf(c.pid, name)
		if err != nil {
			c.differs("spec.rlimits."+name, want.String(), "unknown: "+err.Error())
			continue
		}
		if is := (spec.Rlimit{Soft: have.Soft, Hard: have.Hard}); is != want {
			c.found.Now = append(c.found.Now, spec.Drift{Field: "spec.rlimits." + name, Want: want.String(), Have: is.String(), Class: spec.Live})
		}
	}
	slices.SortFunc(c.found.Now, func(a, b spec.Drift) int { return strings.Compare(a.Field, b.Field) })
}

// GiveLimits puts the process limits of s in force on processes that run. What can't be is returned as what their next start changes.
func GiveLimits(s *spec.Spec, pids []int) (pending []spec.Drift) {
	for name, want := range s.Rlimits {
		for _, pid := range pids {
			err := spawn.SetLimitOf(pid, spawn.Rlimit{Name: name, Soft: want.Soft, Hard: want.Hard})
			if err != nil && !errors.Is(err, unix.ESRCH) {
				pending = append(pending, spec.Drift{Field: "spec.rlimits." + name, Want: want.String(), Have: err.Error(), Class: spec.Restarted})
				break
			}
		}
	}
	return pending
}
