package labhost

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strconv"
	"strings"
	"syscall"

	"golang.org/x/sys/unix"
)

// A machine is a kernel that runs as a program: https://docs.kernel.org/virt/uml/user_mode_linux_howto_v2.html. Its root is a directory here, an overlay of which nobody
// else sees anything, so files need no way in or out. What a test says comes out by its serial line, how it ended by a file.

// machineSpec is one run of a machine.
type machineSpec struct {
	Kind  Kind
	Root  string // the lower layer of its root
	Disk  string // the lab's directory for what it writes
	Binds []Bind
	// Args, Env and Dir are those of the test that it runs.
	Args, Env []string
	Dir       string
	// Server is what it is where it runs no test.
	Server *machineServer `json:",omitempty"`
}

const (
	machineMemory = "1G" // the most it may take
	machineSpecAt = binaryDir + "/spec"
	machineDirAt  = binaryDir + "/dir" // the test's directory, on its way
	machineCodeAt = binaryDir + "/exit-status"
	serialLine    = "/dev/ttyS0"
)

// machine is the command that runs a test on a machine, and ends as the test ends. The caller calls remove after that.
func (l *Lab) machine(ctx context.Context, s machineSpec) (cmd *exec.Cmd, remove func() error, err error) {
	if s.Root, err = rootfs(ctx, s.Kind.release()); err != nil {
		return nil, nil, err
	}
	n, err := l.take()
	if err != nil {
		return nil, nil, err
	}
	s.Disk = filepath.Join(labDir, fmt.Sprintf("m%d", n))
	if s.Server != nil {
		s.Server.Number, s.Server.Addr = n, address(n)
	}
	spec, err := json.Marshal(s)
	if err != nil {
		return nil, nil, err
	}
	binary, err := os.Executable()
	if err != nil {
		return nil, nil, err
	}
	cmd = nsenter(ctx, l.pid, []string{"--mount", "--net", "--pid"}, binary)
	cmd.Env = stageEnvironment(stageMachine, specEnv+"="+string(spec))
	return cmd, func() error {
		defer l.giveBack(n) // last: the next machine of that number makes its disk there
		return os.RemoveAll(l.path(s.Disk))
	}, nil
}

// beMachine, which runs in the lab's namespaces, runs the kernel to its end.
func beMachine() error {
	var s machineSpec
	text := os.Getenv(specEnv)
	if err := json.Unmarshal([]byte(text), &s); err != nil {
		return fmt.Errorf("read what to run: %w", err)
	}
	runtime.LockOSThread() // the mount namespace is this thread's and its children's
	if err := unix.Unshare(unix.CLONE_NEWNS); err != nil {
		return fmt.Errorf("make a mount namespace: %w", err)
	}
	root, err := s.prepare(text)
	if err != nil {
		return err
	}
	args := []string{"mem=" + machineMemory, "root=/dev/root", "rootfstype=hostfs", "rootflags=" + root, "rw", "quiet",
		"con0=null,fd:1", "con=null", "ssl0=null,fd:3", "ssl=null", "init=" + binaryDir + "/test", stageEnv + "=" + stageMachineInit}
	if s.Server != nil {
		card, err := s.Server.plugIn()
		if err != nil {
			return err
		}
		args = append(args, card)
	}
	cmd := exec.Command("linux", args...)
	cmd.Env = append(os.Environ(), "HOME="+s.Disk, "TMPDIR="+s.Disk) // for its control socket, and for the file that is its memory
	console := &console{panicked: func() { cmd.Process.Kill() }}     // else it spins
	cmd.Stdout, cmd.Stderr, cmd.ExtraFiles = console, console, []*os.File{os.Stdout}
	cmd.SysProcAttr = &syscall.SysProcAttr{Setsid: true, Cloneflags: unix.CLONE_NEWPID, Pdeathsig: unix.SIGKILL}
	ended := cmd.Run() // how the kernel ends says nothing: the test's own status is what counts
	status, err := os.ReadFile(filepath.Join(root, machineCodeAt))
	if err != nil {
		return fmt.Errorf("run a test on a machine: it left no exit status; the kernel ended with %s and said\n%s", howEnded(ended), console.said)
	}
	code, err := strconv.Atoi(string(status))
	if err != nil {
		return err
	}
	unix.Exit(code)
	return nil
}

// console is what a kernel says. It is written by one goroutine.
type console struct {
	said     []byte
	panicked func()
}

func (c *console) Write(p []byte) (int, error) {
	c.said = append(c.said, p...)
	if bytes.Contains(c.said, []byte("Kernel panic")) {
		c.panicked()
	}
	return len(p), nil
}

// prepare makes the machine's root.
func (s machineSpec) prepare(text string) (root string, err error) {
	root, err = mountOverlay(s.Root, s.Disk)
	if err != nil {
		return "", err
	}
	if s.Dir != "" {
		s.Binds = append(s.Binds, Bind{s.Dir, machineDirAt})
	}
	for _, b := range s.Binds {
		if err := bindReadOnly(Bind{b.From, filepath.Join(root, b.To)}); err != nil {
			return "", err
		}
	}
	files := map[string]string{machineSpecAt: text, "/etc/machine-id": randomHex() + "\n", "/etc/hostname": string(s.Kind) + "\n"}
	if s.Server != nil {
		s.Server.files(files)
	} else if s.Kind.systemd() {
		files["/etc/systemd/system/"+testUnit] = fmt.Sprintf("[Unit]\nAfter=dbus.socket\n[Service]\nEnvironment=%s=%s\nExecStart=%s/test\n", stageEnv, stageMachineTest, binaryDir)
		files["/etc/systemd/system/lab.target"] = "[Unit]\nRequires=basic.target\nAfter=basic.target\nWants=dbus.service " + testUnit + "\nAllowIsolate=yes\n"
	}
	for name, content := range files {
		path := filepath.Join(root, name)
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			return "", err
		}
		if err := os.WriteFile(path, []byte(content), modeOf(name)); err != nil {
			return "", err
		}
	}
	return root, nil
}

// modeOf is the mode of a file: keys are their owner's only.
func modeOf(name string) os.FileMode {
	if strings.HasSuffix(name, "_key") || strings.Contains(name, "/.ssh/") {
		return 0o600
	}
	return 0o644
}

// testUnit is the service that runs the test where there is systemd.
const testUnit = "lab-test.service"

// beMachineInit is process 1 of a machine: it starts the machine, and then reaps, or becomes systemd. It must not end, as its kernel would never notice.
func beMachineInit() error {
	return switchOff(bringUp())
}

// bringUp mounts all but /dev, which the kernel has mounted itself, and has the test run. It returns only with an error.
func bringUp() error {
	s, err := readMachineSpec()
	if err != nil {
		return err
	}
	for _, m := range []mount{
		{"proc", "/proc", "proc", 0, ""},
		{"sysfs", "/sys", "sysfs", unix.MS_RDONLY, ""},
		{"cgroup2", "/sys/fs/cgroup", "cgroup2", 0, "nsdelegate,memory_recursiveprot"},
		{"tmpfs", "/run", "tmpfs", 0, "mode=755"},
		{"tmpfs", "/tmp", "tmpfs", 0, "mode=1777"},
	} {
		if err := unix.Mount(m.source, m.target, m.fstype, m.flags, m.data); err != nil {
			return fmt.Errorf("mount %s: %w", m.target, err)
		}
	}
	if s.Server != nil {
		if err := s.Server.setUp(); err != nil {
			return err
		}
	} else if err := bindReadOnly(Bind{machineDirAt, s.Dir}); err != nil { // only now, as it may lie in /tmp
		return err
	}
	if s.Kind.systemd() {
		err := unix.Exec("/lib/systemd/systemd", []string{"systemd", "--unit=lab.target"}, []string{"PATH=" + hostPath})
		return fmt.Errorf("become systemd: %w", err)
	}
	if err := os.Setenv("PATH", hostPath); err != nil { // a kernel gives process 1 another, or none
		return err
	}
	if err := ip("link set lo up"); err != nil { // systemd does that itself
		return err
	}
	cgroup, err := makeCgroup("/sys/fs/cgroup/" + testCgroup)
	if err != nil {
		return err
	}
	cmd := self(stageMachineTest)
	cmd.SysProcAttr = &syscall.SysProcAttr{UseCgroupFD: true, CgroupFD: int(cgroup.Fd())}
	if err := cmd.Start(); err != nil {
		return err
	}
	reap()
	return nil
}

// beMachineTest runs the test on a machine, leaves its exit status in a file, and switches the machine off.
func beMachineTest() error {
	code, err := runOnMachine()
	if err == nil {
		err = os.WriteFile(machineCodeAt, []byte(strconv.Itoa(code)), 0o644)
	}
	return switchOff(err)
}

// switchOff ends the kernel, after an error that is told on its console.
func switchOff(err error) error {
	if err != nil {
		fmt.Fprintf(os.Stderr, "labhost: %v\n", err)
	}
	unix.Sync()
	return unix.Reboot(unix.LINUX_REBOOT_CMD_POWER_OFF)
}

func readMachineSpec() (s machineSpec, err error) {
	text, err := os.ReadFile(machineSpecAt)
	if err != nil {
		return s, err
	}
	return s, json.Unmarshal(text, &s)
}

// runOnMachine runs the test and returns its exit status.
func runOnMachine() (int, error) {
	s, err := readMachineSpec()
	if err != nil {
		return 0, err
	}
	line, err := openSerialLine()
	if err != nil {
		return 0, err
	}
	defer line.Close()
	cmd := exec.Command(binaryDir+"/test", s.Args...)
	cmd.Env = append(s.Env, "PATH="+hostPath, "HOME=/root")
	cmd.Dir, cmd.Stdout, cmd.Stderr = s.Dir, line, line
	err = cmd.Run()
	var exit *exec.ExitError
	if err != nil && !errors.As(err, &exit) {
		return 0, err
	}
	if err := unix.IoctlSetInt(int(line.Fd()), unix.TCSBRK, 1); err != nil { // tcdrain(3)
		return 0, fmt.Errorf("drain the serial line: %w", err)
	}
	if exit != nil && !exit.Exited() {
		return 0, fmt.Errorf("run the test: %w", err)
	}
	return cmd.ProcessState.ExitCode(), nil
}

// openSerialLine opens the way out for what the test says, and has it pass on what it is given as it is.
func openSerialLine() (*os.File, error) {
	line, err := os.OpenFile(serialLine, os.O_WRONLY|unix.O_NOCTTY, 0)
	if err != nil {
		return nil, err
	}
	settings, err := unix.IoctlGetTermios(int(line.Fd()), unix.TCGETS)
	if err != nil {
		return nil, fmt.Errorf("set up the serial line: %w", err)
	}
	settings.Oflag &^= unix.OPOST
	if err := unix.IoctlSetTermios(int(line.Fd()), unix.TCSETSW, settings); err != nil {
		return nil, fmt.Errorf("set up the serial line: %w", err)
	}
	return line, nil
}
