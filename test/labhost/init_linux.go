package labhost

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"os/signal"
	"path/filepath"
	"runtime"

	"golang.org/x/sys/unix"
)

// notifySocket is where a host's process 1 finds the socket for sd_notify(3).
const notifySocket = "/run/host/notify"

// beInit is process 1 of a host: it makes the host of its namespaces, and becomes systemd, or reaps.
func beInit() error {
	s, err := readSpec()
	if err != nil {
		return err
	}
	runtime.LockOSThread()
	if unix.Gettid() != os.Getpid() { // who enters the host's namespaces enters those of its first thread, which the runtime may have left to others: execve(2) makes this one the first
		return fmt.Errorf("begin in the first thread: %w", unix.Exec("/proc/self/exe", os.Args, os.Environ()))
	}
	// It was started in the host's cgroup, which now becomes the root of all cgroups that the host sees.
	if err := unix.Unshare(unix.CLONE_NEWCGROUP); err != nil {
		return fmt.Errorf("make a cgroup namespace: %w", err)
	}
	pid, err := os.Readlink("/proc/self") // this is still the machine's /proc
	if err != nil {
		return err
	}
	fmt.Println(pid)
	if _, err := io.Copy(io.Discard, os.Stdin); err != nil { // eth0 is there
		return err
	}
	if err := unix.Sethostname([]byte(s.Name)); err != nil {
		return fmt.Errorf("name the host: %w", err)
	}
	if err := ip("link set lo up", "addr add "+s.Addr+"/24 dev eth0", "link set eth0 up", "route add default via "+gateway); err != nil {
		return err
	}
	root, err := s.mountAll()
	if err != nil {
		return err
	}
	if err := s.identify(root); err != nil {
		return err
	}
	if err := enterRoot(root); err != nil {
		return err
	}
	if s.Kind.systemd() {
		return becomeSystemd()
	}
	return s.beReaper()
}

// identify writes what makes this host another than the next: its names and ids.
func (s bootSpec) identify(root string) error {
	var errs []error
	write := func(name, content string) {
		name = filepath.Join(root, name)
		if err := os.Remove(name); err != nil && !errors.Is(err, os.ErrNotExist) { // it may be a link that leads elsewhere
			errs = append(errs, err)
		}
		errs = append(errs, os.WriteFile(name, []byte(content), 0o644))
	}
	write("etc/machine-id", s.MachineID+"\n")
	write("etc/hostname", s.Name+"\n")
	write("etc/hosts", "127.0.0.1 localhost\n::1 localhost\n"+s.Addr+" "+s.Name+"\n")
	if s.Kind.alice() {
		errs = append(errs, os.MkdirAll(filepath.Join(root, "var/lib/systemd/linger"), 0o755))
		write("var/lib/systemd/linger/alice", "")
	}
	return errors.Join(errs...)
}

// enterRoot makes root the root of this mount namespace, and leaves nothing else in it.
func enterRoot(root string) error {
	if err := os.Chdir(root); err != nil {
		return err
	}
	if err := unix.PivotRoot(".", "."); err != nil {
		return fmt.Errorf("enter the host's root: %w", err)
	}
	if err := unix.Unmount(".", unix.MNT_DETACH); err != nil {
		return fmt.Errorf("leave the machine's root: %w", err)
	}
	return os.Chdir("/")
}

// becomeSystemd returns only with an error.
func becomeSystemd() error {
	null, err := os.OpenFile("/dev/null", os.O_RDWR, 0)
	if err != nil {
		return err
	}
	console, err := os.OpenFile("/dev/console", os.O_WRONLY|os.O_APPEND, 0)
	if err != nil {
		return err
	}
	for fd, f := range []*os.File{null, console, console} {
		if err := unix.Dup3(int(f.Fd()), fd, 0); err != nil {
			return fmt.Errorf("connect systemd: %w", err)
		}
	}
	err = unix.Exec("/lib/systemd/systemd", []string{"systemd"}, []string{"container=labhost", "NOTIFY_SOCKET=" + notifySocket, "PATH=" + hostPath})
	return fmt.Errorf("become systemd: %w", err)
}

// hostPath is the PATH of whatever is run on a host.
const hostPath = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"

// beReaper is process 1 of a host without systemd. It stays.
func (s bootSpec) beReaper() error {
	if s.Kind == Cgroup {
		for _, name := range []string{"init", testCgroup} {
			if err := os.Mkdir(filepath.Join("/sys/fs/cgroup", name), 0o755); err != nil {
				return err
			}
		}
		if err := os.WriteFile("/sys/fs/cgroup/init/cgroup.procs", []byte("0"), 0); err != nil { // the root must hold no process, for its children to have controllers
			return fmt.Errorf("leave the cgroup root: %w", err)
		}
	}
	if err := notify(); err != nil {
		return err
	}
	reap()
	return nil
}

// notify says that the host has booted.
func notify() error {
	conn, err := net.DialUnix("unixgram", nil, &net.UnixAddr{Name: notifySocket, Net: "unixgram"})
	if err != nil {
		return fmt.Errorf("say that the host has booted: %w", err)
	}
	defer conn.Close()
	_, err = io.Copy(conn, bytes.NewReader([]byte("READY=1\n")))
	return err
}

func notifyChildren(c chan<- os.Signal) { signal.Notify(c, unix.SIGCHLD) }
