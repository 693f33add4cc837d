package labhost

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"

	"golang.org/x/sys/unix"
)

// specEnv carries the bootSpec.
const specEnv = "LABHOST_SPEC"

// bootSpec is one boot of a host.
type bootSpec struct {
	Kind   Kind
	Name   string
	Number int
	Addr   string
	Root   string // the lower layer of its root
	Disk   string // the lab's directory for what it writes; it survives a reboot
	Cgroup string
	// BootID is new for each boot, MachineID is for ever.
	BootID, MachineID string
	Binds             []Bind
}

// bootEvent is what the booting part tells the test process, one JSON value each.
type bootEvent struct {
	PID   int    `json:",omitempty"` // the host's process 1, which now exists
	Ready bool   `json:",omitempty"` // it has booted
	Ended string `json:",omitempty"` // how it ended
}

func readSpec() (s bootSpec, err error) {
	if err := json.Unmarshal([]byte(os.Getenv(specEnv)), &s); err != nil {
		return s, fmt.Errorf("read what to boot: %w", err)
	}
	return s, nil
}

// beBoot, which runs in the lab's namespaces, boots a host, tells on stdout how that goes, and waits for its end. When its stdin ends it cuts the host's power.
func beBoot() error {
	s, err := readSpec()
	if err != nil {
		return err
	}
	cgroup, err := os.Open(s.Cgroup)
	if err != nil {
		return err
	}
	defer cgroup.Close()
	if err := s.mountDisk(); err != nil {
		return err
	}
	ready, err := listenForReady(filepath.Join(s.Disk, "notify"))
	if err != nil {
		return err
	}
	cmd := self(stageInit, specEnv+"="+os.Getenv(specEnv))
	cmd.SysProcAttr = &syscall.SysProcAttr{
		Cloneflags:  unix.CLONE_NEWPID | unix.CLONE_NEWNS | unix.CLONE_NEWUTS | unix.CLONE_NEWIPC | unix.CLONE_NEWNET,
		UseCgroupFD: true, CgroupFD: int(cgroup.Fd()),
	}
	wired, err := cmd.StdinPipe() // its end tells the child that eth0 is there
	if err != nil {
		return err
	}
	said, err := cmd.StdoutPipe()
	if err != nil {
		return err
	}
	if err := cmd.Start(); err != nil {
		return fmt.Errorf("start process 1 of %s: %w", s.Name, err)
	}
	var pid int // as the machine counts
	if _, err := fmt.Fscanln(said, &pid); err != nil {
		return fmt.Errorf("start process 1 of %s: %w", s.Name, errors.Join(err, cmd.Process.Kill()))
	}
	tell(bootEvent{PID: pid})
	if err := wire(s.Number, pid); err != nil {
		return errors.Join(err, cmd.Process.Kill())
	}
	wired.Close()
	go func() {
		if awaitReady(ready) == nil {
			tell(bootEvent{Ready: true})
		}
		drain(ready)
	}()
	go func() {
		io.Copy(io.Discard, os.Stdin)
		cmd.Process.Kill() // an error says that it has ended
	}()
	tell(bootEvent{Ended: howEnded(cmd.Wait())})
	return nil
}

// tell writes one event in one piece. Who doesn't read it any more doesn't need it.
func tell(e bootEvent) {
	text, err := json.Marshal(e)
	if err == nil {
		os.Stdout.Write(append(text, '\n'))
	}
}

func howEnded(err error) string {
	var exit *exec.ExitError
	switch {
	case err == nil:
		return "exit status 0"
	case errors.As(err, &exit):
		return exit.ProcessState.String()
	}
	return err.Error()
}

// wire puts an eth0 into the network namespace of a process, and its other end on the bridge.
func wire(number, pid int) error {
	port := fmt.Sprintf("v%d", number)
	if _, err := net.InterfaceByName(port); err == nil {
		ip("link del " + port) // that of the last boot, unless the kernel takes it away just now
	}
	return ip(fmt.Sprintf("link add %s type veth peer name eth0 address %s netns /proc/%d/ns/net", port, hardwareAddr(number), pid), "link set "+port+" master br0 up")
}

// hardwareAddr is that of a host, or with number 0 of the bridge. It is always the same, as neighbours remember it for half a minute.
func hardwareAddr(number int) string { return fmt.Sprintf("02:00:0a:4d:00:%02x", number) }

// listenForReady makes the socket on which process 1 says that it has booted: sd_notify(3).
func listenForReady(path string) (*net.UnixConn, error) {
	if err := os.RemoveAll(path); err != nil {
		return nil, err
	}
	conn, err := net.ListenUnixgram("unixgram", &net.UnixAddr{Name: path, Net: "unixgram"})
	if err != nil {
		return nil, fmt.Errorf("listen for the host: %w", err)
	}
	return conn, nil
}

func awaitReady(conn *net.UnixConn) error {
	buf := make([]byte, 4096)
	for {
		n, err := conn.Read(buf)
		if err != nil {
			return err
		}
		for line := range strings.Lines(string(buf[:n])) {
			if strings.TrimSpace(line) == "READY=1" {
				return nil
			}
		}
	}
}

// drain reads what else process 1 says there. Later releases of systemd tell of each reload, and wait where nobody reads.
func drain(conn *net.UnixConn) {
	buf := make([]byte, 4096)
	for {
		if _, err := conn.Read(buf); err != nil {
			return
		}
	}
}
