package labhost

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"

	"golang.org/x/sys/unix"
)

// Each host has a disk of its own, a file system in memory, which takes no more than what is written to it.
const diskSize = 1 << 30

// mountDisk gives a host its disk, in the lab's mount namespace, when it boots for the first time.
func (s bootSpec) mountDisk() error {
	if mounted(s.Disk) {
		return nil
	}
	if err := unix.Mount("labhost", s.Disk, "tmpfs", 0, fmt.Sprintf("mode=755,size=%d", diskSize)); err != nil {
		return fmt.Errorf("give %s a disk: %w", s.Name, err)
	}
	return nil
}

// Fill fills the host's disk to the last block, or makes room again. Nothing is written for that: the disk shrinks to what it holds.
func (h *Host) Fill(full bool) error {
	if !full {
		return h.resizeDisk(diskSize)
	}
	var err error
	for range 20 { // what the host writes between the look and the change makes that impossible
		var st unix.Statfs_t
		if err := unix.Statfs(h.lab.path(h.spec.Disk), &st); err != nil {
			return fmt.Errorf("fill the disk of %s: %w", h.Name, err)
		}
		if err = h.resizeDisk(int64(st.Blocks-st.Bfree) * int64(st.Bsize)); err == nil {
			return nil
		}
	}
	return err
}

func (h *Host) resizeDisk(size int64) error {
	return h.onDisk("mount", "-o", fmt.Sprintf("remount,size=%d", size), h.spec.Disk)
}

// removeDisk takes the disk of a host that is off.
func (h *Host) removeDisk() error {
	path := h.lab.path(h.spec.Disk)
	if mounted(path) {
		if err := h.onDisk("umount", "--lazy", h.spec.Disk); err != nil {
			return err
		}
	}
	return os.RemoveAll(path)
}

// mounted tells whether a directory is a file system of its own.
func mounted(dir string) bool {
	var here, above unix.Stat_t
	return unix.Stat(dir, &here) == nil && unix.Stat(filepath.Dir(dir), &above) == nil && here.Dev != above.Dev
}

// onDisk runs a command in the lab's mount namespace.
func (h *Host) onDisk(args ...string) error {
	cmd := exec.Command("nsenter", append([]string{"--mount=" + h.lab.namespace("mnt"), "--"}, args...)...)
	if out, err := cmd.CombinedOutput(); err != nil {
		return fmt.Errorf("%s of %s: %w: %s", args[0], h.Name, err, out)
	}
	return nil
}
