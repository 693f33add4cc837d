package labhost

import (
	"fmt"
	"os"
	"path/filepath"

	"golang.org/x/sys/unix"
)

// mount is one mount of a host, its target below the host's root.
type mount struct {
	source, target, fstype string
	flags                  uintptr
	data                   string
}

// mountAll mounts what a host sees, in this mount namespace, and returns its root.
func (s bootSpec) mountAll() (root string, err error) {
	if err := unix.Mount("", "/", "", unix.MS_REC|unix.MS_PRIVATE, ""); err != nil {
		return "", fmt.Errorf("make the host's mounts private: %w", err)
	}
	if root, err = mountOverlay(s.Root, s.Disk); err != nil {
		return "", err
	}
	mounts := []mount{
		{"proc", "proc", "proc", unix.MS_NOSUID | unix.MS_NOEXEC | unix.MS_NODEV, ""},
		// Where /sys is read-only systemd leaves devices alone: those of the machine.
		{"sysfs", "sys", "sysfs", unix.MS_RDONLY | unix.MS_NOSUID | unix.MS_NOEXEC | unix.MS_NODEV, ""},
		{"tmpfs", "run", "tmpfs", unix.MS_NOSUID | unix.MS_NODEV, "mode=755"},
		{"tmpfs", "tmp", "tmpfs", unix.MS_NOSUID | unix.MS_NODEV, "mode=1777"},
		{"tmpfs", "dev", "tmpfs", unix.MS_NOSUID, "mode=755"},
	}
	if s.Kind != Bare {
		mounts = append(mounts, mount{"cgroup2", "sys/fs/cgroup", "cgroup2", unix.MS_NOSUID | unix.MS_NOEXEC | unix.MS_NODEV, ""})
	}
	for _, m := range mounts {
		if err := unix.Mount(m.source, filepath.Join(root, m.target), m.fstype, m.flags, m.data); err != nil {
			return "", fmt.Errorf("mount /%s: %w", m.target, err)
		}
	}
	for _, part := range []func(string) error{s.mountDevices, s.mountKernelSettings, s.mountBinds} {
		if err := part(root); err != nil {
			return "", err
		}
	}
	return root, nil
}

// mountOverlay mounts a root whose lower layer is never changed. What is written lies in a directory of the lab's.
func mountOverlay(lower, disk string) (root string, err error) {
	root = filepath.Join(disk, "root")
	upper, work := filepath.Join(disk, "upper"), filepath.Join(disk, "work")
	for _, dir := range []string{root, upper, work} {
		if err := os.MkdirAll(dir, 0o755); err != nil {
			return "", err
		}
	}
	if err := unix.Mount("overlay", root, "overlay", 0, "lowerdir="+lower+",upperdir="+upper+",workdir="+work); err != nil {
		return "", fmt.Errorf("mount / over %s: %w", lower, err)
	}
	return root, nil
}

// mountDevices makes /dev: the devices that any container has.
func (s bootSpec) mountDevices(root string) error {
	dev := filepath.Join(root, "dev")
	for _, name := range []string{"null", "zero", "full", "random", "urandom", "tty"} {
		if err := bindTo("/dev/"+name, filepath.Join(dev, name)); err != nil {
			return err
		}
	}
	for _, name := range []string{"pts", "shm"} {
		if err := os.Mkdir(filepath.Join(dev, name), 0o755); err != nil {
			return err
		}
	}
	if err := unix.Mount("devpts", filepath.Join(dev, "pts"), "devpts", 0, "newinstance,ptmxmode=0666,mode=620"); err != nil {
		return fmt.Errorf("mount /dev/pts: %w", err)
	}
	if err := unix.Mount("tmpfs", filepath.Join(dev, "shm"), "tmpfs", unix.MS_NOSUID|unix.MS_NODEV, "mode=1777"); err != nil {
		return fmt.Errorf("mount /dev/shm: %w", err)
	}
	for link, to := range map[string]string{"ptmx": "pts/ptmx", "fd": "/proc/self/fd", "stdin": "/proc/self/fd/0", "stdout": "/proc/self/fd/1", "stderr": "/proc/self/fd/2"} {
		if err := os.Symlink(to, filepath.Join(dev, link)); err != nil {
			return err
		}
	}
	console := filepath.Join(s.Disk, "console")
	if err := os.WriteFile(console, nil, 0o600); err != nil {
		return err
	}
	return bindTo(console, filepath.Join(dev, "console"))
}

// mountKernelSettings gives the host a boot id, and keeps it from changing the machine's settings.
func (s bootSpec) mountKernelSettings(root string) error {
	settings := filepath.Join(root, "proc/sys")
	if err := unix.Mount(settings, settings, "", unix.MS_BIND, ""); err != nil {
		return fmt.Errorf("mount /proc/sys: %w", err)
	}
	id := filepath.Join(s.Disk, "boot_id")
	if err := os.WriteFile(id, []byte(s.BootID+"\n"), 0o444); err != nil {
		return err
	}
	if err := bindReadOnly(Bind{id, filepath.Join(settings, "kernel/random/boot_id")}); err != nil {
		return err
	}
	return readOnly(settings)
}

// mountBinds shows the host what it is given of the machine, and the socket for its readiness.
func (s bootSpec) mountBinds(root string) error {
	for _, b := range s.Binds {
		if err := bindReadOnly(Bind{b.From, filepath.Join(root, b.To)}); err != nil {
			return err
		}
		for dir := filepath.Dir(b.To); dir != "/"; dir = filepath.Dir(dir) { // alice must get there, too
			if err := openUp(filepath.Join(root, dir)); err != nil {
				return err
			}
		}
	}
	return bindTo(filepath.Join(s.Disk, "notify"), filepath.Join(root, notifySocket))
}

// openUp lets everybody enter a directory.
func openUp(dir string) error {
	info, err := os.Stat(dir)
	if err != nil {
		return err
	}
	return os.Chmod(dir, info.Mode()|0o055)
}

// bindTo mounts a file or directory on another, which it makes.
func bindTo(from, to string) error {
	info, err := os.Stat(from)
	if err != nil {
		return fmt.Errorf("show a host %s: %w", from, err)
	}
	if err := makeTarget(to, info.IsDir()); err != nil {
		return err
	}
	if err := unix.Mount(from, to, "", unix.MS_BIND, ""); err != nil {
		return fmt.Errorf("show a host %s: %w", from, err)
	}
	return nil
}

func makeTarget(path string, dir bool) error {
	if dir {
		return os.MkdirAll(path, 0o755)
	}
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		return err
	}
	if _, err := os.Lstat(path); err == nil {
		return nil // in /proc nothing can be made
	}
	return os.WriteFile(path, nil, 0o644)
}

func bindReadOnly(b Bind) error {
	if err := bindTo(b.From, b.To); err != nil {
		return err
	}
	return readOnly(b.To)
}

func readOnly(mountPoint string) error {
	if err := unix.Mount("", mountPoint, "", unix.MS_BIND|unix.MS_REMOUNT|unix.MS_RDONLY, ""); err != nil {
		return fmt.Errorf("make %s read-only: %w", mountPoint, err)
	}
	return nil
}
