package spawn

import (
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"runtime"
	"runtime/debug"
	"strconv"
	"syscall"

	"golang.org/x/sys/unix"

	"reconciler.dev/reconciler/internal/procfs"
)

// Process limits belong to a whole process, so a child can't inherit them from one that doesn't want them itself: they are set between fork(2) and execve(2). So is what only the
// process to be knows, its own number. A child of a Go program can't run Go code there, so it executes this program again, as a launcher, which sets them and then becomes the daemon in
// place: same process, same tag.

// launcherName is argv[0] of the launcher; argv[1] is how many sockets the daemon is given.
const launcherName = "reconciler-launch"

// firstListener is the descriptor of the first of these sockets: SD_LISTEN_FDS_START.
const firstListener = 3

// channel are the launcher's descriptors behind those that the daemon has: what to do, and where to say what went wrong. Neither outlives the second execve.
type channel struct{ settings, report int }

func channelBehind(listeners int) channel {
	return channel{firstListener + listeners, firstListener + listeners + 1}
}

// settings are what the launcher is told, in a file that exists in memory only: it may hold secrets, which argv would show to everybody.
// Strings are bytes there: nothing says that a path, an argument or a secret is UTF-8, which JSON would make of it.
type settings struct {
	Path    []byte
	Args    [][]byte
	Env     [][]byte
	Dir     []byte
	Umask   int
	Nice    int
	Rlimits []Rlimit
	Account *Account
	// NoNewPrivileges and Capabilities are as in Cmd.
	NoNewPrivileges bool
	Capabilities    []int
}

// launch starts c by way of the launcher. It returns when the program has been executed.
func (s *Spawner) launch(c Cmd) (Process, error) {
	data, err := json.Marshal(settings{
		[]byte(c.Path), toBytes(c.Args), toBytes(listening(c.Env, c.Listeners)), []byte(c.Dir), c.Umask, c.Nice, c.Rlimits, c.Account, c.NoNewPrivileges, c.Capabilities,
	})
	if err != nil {
		return Process{}, fmt.Errorf("describe the process to be: %w", err)
	}
	told, err := inMemory(data)
	if err != nil {
		return Process{}, err
	}
	defer told.Close()
	report, reports, err := os.Pipe()
	if err != nil {
		return Process{}, err
	}
	defer report.Close()
	files := s.files(c)
	for _, l := range c.Listeners {
		files = append(files, l.File.Fd())
	}
	p, err := fork(procfs.Tag(c.Tag), "/proc/self/exe", []string{launcherName, strconv.Itoa(len(c.Listeners))}, &syscall.ProcAttr{
		Dir: "/", Files: append(files, told.Fd(), reports.Fd()),
		Sys: inCgroup(&syscall.SysProcAttr{Setsid: true}, c.Cgroup),
	})
	reports.Close()
	if err != nil {
		return Process{}, fmt.Errorf("start the launcher: %w", err)
	}
	if err := readReport(c, report); err != nil {
		end(p)
		return Process{}, err
	}
	return p, nil
}

func toBytes(from []string) (to [][]byte) {
	for _, s := range from {
		to = append(to, []byte(s))
	}
	return to
}

func toStrings(from [][]byte) (to []string) {
	for _, b := range from {
		to = append(to, string(b))
	}
	return to
}

// end kills a child and waits for its end.
func end(p Process) {
	p.FD.Signal(unix.SIGKILL) // an error says that it has ended
	poll := []unix.PollFd{{Fd: int32(p.FD), Events: unix.POLLIN}}
	for {
		if _, err := unix.Poll(poll, -1); err != unix.EINTR {
			break
		}
	}
	p.FD.Status(p.PID, false)
	p.FD.Close()
}

func inMemory(data []byte) (*os.File, error) {
	fd, err := unix.MemfdCreate(launcherName, unix.MFD_CLOEXEC)
	if err != nil {
		return nil, fmt.Errorf("make a file in memory: %w", err)
	}
	f := os.NewFile(uintptr(fd), launcherName)
	if _, err := f.WriteAt(data, 0); err != nil {
		f.Close()
		return nil, fmt.Errorf("write a file in memory: %w", err)
	}
	return f, nil
}

// readReport waits until the launcher has become the program, which closes its end, or says why it couldn't.
func readReport(c Cmd, from io.Reader) error {
	var b [8]byte
	switch n, err := io.ReadFull(from, b[:]); {
	case errors.Is(err, io.EOF):
		return nil
	case err != nil:
		return fmt.Errorf("wait for the launcher: %d bytes: %w", n, err)
	}
	stage, errno := binary.NativeEndian.Uint32(b[:]), syscall.Errno(binary.NativeEndian.Uint32(b[4:]))
	if int(stage) >= len(stages) {
		return fmt.Errorf("wait for the launcher: it reports stage %d, which there isn't", stage)
	}
	return explain(c, stages[stage], errno)
}

// The stages of a launch, for reports.
const (
	atSettings = iota
	atRlimits
	atNice
	atAccount
	atRights
	atListeners
	atDir
	atExec
)

var stages = [...]string{"read its settings", "set its process limits", "set its priority", "become its user", "give up rights", "be given its sockets", "enter its working directory", ""}

// Main becomes a daemon where this process was started to do so, and never returns then; else it does nothing. Call it first in main, and in TestMain of test programs
// that start daemons.
func Main() {
	if len(os.Args) != 2 || os.Args[0] != launcherName {
		return
	}
	listeners, err := strconv.Atoi(os.Args[1])
	if err != nil {
		return
	}
	runtime.LockOSThread() // the priority belongs to the thread that executes the program
	debug.SetGCPercent(-1) // nothing may need memory once limits are set
	to := channelBehind(listeners)
	stage, err := becomeDaemon(to, listeners)
	var errno syscall.Errno
	if !errors.As(err, &errno) {
		errno = syscall.EINVAL
	}
	b := binary.NativeEndian.AppendUint32(binary.NativeEndian.AppendUint32(nil, uint32(stage)), uint32(errno))
	syscall.Write(to.report, b) // nobody is left to tell about an error
	syscall.Exit(127)
}

// becomeDaemon returns only on an error, with the stage it occurred at.
func becomeDaemon(from channel, listeners int) (int, error) {
	syscall.CloseOnExec(from.settings)
	syscall.CloseOnExec(from.report)
	var set settings
	data, err := io.ReadAll(io.NewSectionReader(os.NewFile(uintptr(from.settings), "settings"), 0, 1<<30))
	if err != nil {
		return atSettings, err
	}
	if err := json.Unmarshal(data, &set); err != nil {
		return atSettings, err
	}
	syscall.Umask(set.Umask)
	if err := setNice(set.Nice); err != nil {
		return atNice, err
	}
	if err := setRlimits(set.Rlimits); err != nil {
		return atRlimits, err
	}
	if err := limitCapabilities(set.Capabilities); err != nil {
		return atRights, err
	}
	if err := become(set.Account); err != nil {
		return atAccount, err
	}
	if err := setCapabilities(set.Capabilities); err != nil {
		return atRights, err
	}
	if set.NoNewPrivileges {
		if err := prctl(unix.PR_SET_NO_NEW_PRIVS, 1, 0); err != nil {
			return atRights, err
		}
	}
	env := toStrings(set.Env)
	if listeners > 0 {
		env = append(env, listenVars+"PID="+strconv.Itoa(os.Getpid()))
	}
	if err := makeBlocking(listeners); err != nil {
		return atListeners, err
	}
	if err := syscall.Chdir(string(set.Dir)); err != nil {
		return atDir, err
	}
	return atExec, syscall.Exec(string(set.Path), toStrings(set.Args), env)
}

// makeBlocking makes of sockets what they were when they were opened, as systemd does (NonBlocking= in systemd.service(5)): whoever had them before may have made it otherwise.
func makeBlocking(listeners int) error {
	for fd := firstListener; fd < firstListener+listeners; fd++ {
		if err := syscall.SetNonblock(fd, false); err != nil {
			return err
		}
	}
	return nil
}

// setNice sets the priority. The default is no reason to fail: an inherited lower priority can't be shed without privilege.
func setNice(nice int) error {
	err := syscall.Setpriority(syscall.PRIO_PROCESS, 0, nice)
	if nice == 0 && (errors.Is(err, syscall.EACCES) || errors.Is(err, syscall.EPERM)) {
		return nil
	}
	return err
}

// become changes to the account, which gives up what privilege there was.
func become(a *Account) error {
	if a == nil {
		return nil
	}
	groups := make([]int, len(a.Groups))
	for i, g := range a.Groups {
		groups[i] = int(g)
	}
	if err := syscall.Setgroups(groups); err != nil {
		return err
	}
	if err := syscall.Setresgid(int(a.GID), int(a.GID), int(a.GID)); err != nil {
		return err
	}
	return syscall.Setresuid(int(a.UID), int(a.UID), int(a.UID))
}
