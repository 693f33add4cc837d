package labhost

import (
	"crypto/rand"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"time"

	"golang.org/x/sys/unix"
)

// cgroupPrefix begins the names of a lab's cgroups.
const cgroupPrefix = "labhost-"

// youngest is how old a lab's empty cgroup must be before another run takes it for one that was left: a lab that is just being started is empty, too.
const youngest = 10 * time.Second

// cgroupRoot is where this machine has cgroup v2, alone or beside version 1.
func cgroupRoot() (string, error) {
	for _, dir := range []string{"/sys/fs/cgroup", "/sys/fs/cgroup/unified"} {
		var st unix.Statfs_t
		if unix.Statfs(dir, &st) == nil && st.Type == unix.CGROUP2_SUPER_MAGIC {
			return dir, nil
		}
	}
	return "", errors.New("find cgroup v2: it is mounted on neither /sys/fs/cgroup nor /sys/fs/cgroup/unified")
}

// newCgroup makes the cgroup of this run.
func newCgroup() (string, error) {
	root, err := cgroupRoot()
	if err != nil {
		return "", err
	}
	dir := filepath.Join(root, cgroupPrefix+strings.ToLower(rand.Text()))
	if err := os.Mkdir(dir, 0o755); err != nil {
		return "", fmt.Errorf("make the lab's cgroup: %w", err)
	}
	return dir, handDown(dir)
}

// makeCgroup makes a cgroup and opens it, for a process to be started in it.
func makeCgroup(dir string) (*os.File, error) {
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return nil, fmt.Errorf("make a cgroup: %w", err)
	}
	return os.Open(dir)
}

// handDown lets the cgroups below dir have the controllers that it has itself.
func handDown(dir string) error {
	have, err := os.ReadFile(filepath.Join(dir, "cgroup.controllers"))
	if err != nil {
		return fmt.Errorf("read the lab's controllers: %w", err)
	}
	for c := range strings.FieldsSeq(string(have)) {
		switch c {
		case "cpu", "io", "memory", "pids":
			if err := os.WriteFile(filepath.Join(dir, "cgroup.subtree_control"), []byte("+"+c), 0); err != nil {
				return fmt.Errorf("hand down controller %s: %w", c, err)
			}
		}
	}
	return nil
}

// removeCgroup removes a cgroup with all below it, once the last process in it is gone.
func removeCgroup(dir string) error {
	for deadline := time.Now().Add(10 * time.Second); ; <-time.After(5 * time.Millisecond) {
		err := removeEmpty(dir)
		if err == nil || time.Now().After(deadline) {
			return err
		}
	}
}

// removeEmpty removes a cgroup and all below it. It fails where a process is in one of them.
func removeEmpty(dir string) error {
	entries, err := os.ReadDir(dir)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return fmt.Errorf("remove cgroup: %w", err)
	}
	for _, e := range entries {
		if e.IsDir() {
			if err := removeEmpty(filepath.Join(dir, e.Name())); err != nil {
				return err
			}
		}
	}
	if err := unix.Rmdir(dir); err != nil && !errors.Is(err, unix.ENOENT) {
		return fmt.Errorf("remove cgroup %s: %w", dir, err)
	}
	return nil
}

// sweepCgroups removes what killed runs left: cgroups of labs in which nothing runs any more.
func sweepCgroups() error {
	root, err := cgroupRoot()
	if err != nil {
		return err
	}
	left, err := filepath.Glob(filepath.Join(root, cgroupPrefix+"*"))
	if err != nil {
		return err
	}
	for _, dir := range left {
		info, err := os.Stat(dir)
		if err == nil && time.Since(info.ModTime()) > youngest && !populated(dir) {
			removeEmpty(dir) // another run may be at it
		}
	}
	return nil
}

// populated tells whether a process is in a cgroup or below it.
func populated(dir string) bool {
	events, err := os.ReadFile(filepath.Join(dir, "cgroup.events"))
	return err == nil && strings.Contains(string(events), "populated 1")
}
