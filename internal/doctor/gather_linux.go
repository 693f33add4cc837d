package doctor

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"time"

	"golang.org/x/sys/unix"

	"reconciler.dev/reconciler/internal/layout"
	"reconciler.dev/reconciler/internal/spawn"
)

// Gather looks at this machine for the user of this process, with the directories that reconciler keeps things in. What it can't find out it leaves empty. The drivers,
// the limits and the daemons are the caller's to fill in.
func Gather(dirs layout.Dirs) Facts {
	f := Facts{UID: os.Geteuid(), Cgroup: gatherCgroup(), Clock: gatherClock(dirs)}
	f.Platform = Platform{OS: runtime.GOOS, Arch: runtime.GOARCH, Kernel: kernel(), Distribution: distribution()}
	if a, _, err := spawn.LookupAccount("", ""); err == nil {
		f.User = a.Name
	}
	f.Init = word("/proc/1/comm")
	f.Systemd = isDir("/run/systemd/system")
	f.Lingers = exists(filepath.Join("/var/lib/systemd/linger", f.User))
	f.Journal = gatherJournal()
	f.Grub = exists("/etc/default/grub")
	f.Cgroup.Group = daemonsGroup(f)
	f.Cgroup.Has = controllersIn(f.Cgroup, f.Cgroup.Group)
	for _, tool := range []string{"nvidia-smi", "rocm-smi"} {
		for _, dir := range filepath.SplitList(os.Getenv("PATH")) {
			if path := filepath.Join(dir, tool); unix.Access(path, unix.X_OK) == nil {
				f.GPU = append(f.GPU, path)
				break
			}
		}
	}
	for _, d := range []Dir{{Name: "state", Path: dirs.State}, {Name: "run", Path: dirs.Run}, {Name: "log", Path: dirs.Log}} {
		f.Dirs = append(f.Dirs, gatherDir(d))
	}
	return f
}

// gatherJournal looks for the directory that is written to: systemd-journald.service(8), FILES. The one in memory goes once that on the disk is in use.
func gatherJournal() Journal {
	machine := word("/etc/machine-id")
	if memory := filepath.Join("/run/log/journal", machine); machine != "" && exists(memory) {
		return Journal{InMemory: true, Readable: unix.Access(memory, unix.R_OK|unix.X_OK) == nil}
	}
	return Journal{OnDisk: machine != "" && exists(filepath.Join("/var/log/journal", machine))}
}

func kernel() string {
	var u unix.Utsname
	if err := unix.Uname(&u); err != nil {
		return ""
	}
	return unix.ByteSliceToString(u.Release[:])
}

// distribution is PRETTY_NAME of os-release(5).
func distribution() string {
	for _, path := range []string{"/etc/os-release", "/usr/lib/os-release"} {
		text, err := os.ReadFile(path)
		if err != nil {
			continue
		}
		for line := range strings.Lines(string(text)) {
			if name, ok := strings.CutPrefix(strings.TrimSpace(line), "PRETTY_NAME="); ok {
				return strings.Trim(name, `"'`)
			}
		}
	}
	return ""
}

func word(path string) string {
	text, err := os.ReadFile(path)
	if err != nil {
		return ""
	}
	return strings.TrimSpace(string(text))
}

func exists(path string) bool {
	_, err := os.Stat(path)
	return err == nil
}

// gatherCgroup finds the mounts in proc_pid_mountinfo(5). The last of cgroup2 is the one that counts.
func gatherCgroup() Cgroup {
	var c Cgroup
	text, err := os.ReadFile("/proc/self/mountinfo")
	if err != nil {
		return c
	}
	for line := range strings.Lines(string(text)) {
		before, after, _ := strings.Cut(line, " - ")
		f, g := strings.Fields(before), strings.Fields(after)
		switch {
		case len(f) < 5 || len(g) < 3:
		case g[0] == "cgroup2":
			c.Mount = f[4]
		case g[0] == "cgroup":
			c.V1 = append(c.V1, slices.DeleteFunc(strings.Split(g[2], ","), func(o string) bool { return o == "rw" || o == "ro" || strings.Contains(o, "=") || o == "xattr" })...)
		}
	}
	c.Root = controllersIn(c, "/")
	return c
}

// daemonsGroup is the group that the daemons of this user are below: that of the user's service manager, or the root of all.
func daemonsGroup(f Facts) string {
	if f.UID != 0 && f.Systemd {
		return fmt.Sprintf("/user.slice/user-%d.slice/user@%[1]d.service", f.UID)
	}
	if f.UID == 0 {
		return "/"
	}
	text, err := os.ReadFile("/proc/self/cgroup")
	if err != nil {
		return ""
	}
	for line := range strings.Lines(string(text)) {
		if group, ok := strings.CutPrefix(strings.TrimSpace(line), "0::"); ok {
			return group
		}
	}
	return ""
}

func controllersIn(c Cgroup, group string) []string {
	if c.Mount == "" {
		return nil
	}
	return strings.Fields(word(filepath.Join(c.Mount, group, "cgroup.controllers")))
}

func gatherClock(dirs layout.Dirs) Clock {
	c := Clock{Now: time.Now()}
	var t unix.Timex
	if _, err := unix.Adjtimex(&t); err == nil {
		c.Known, c.Synchronised = true, t.Status&unix.STA_UNSYNC == 0
	}
	for _, dir := range []string{dirs.State, dirs.Run, dirs.Log} {
		files, err := os.ReadDir(dir)
		if err != nil {
			continue
		}
		for _, e := range files {
			if fi, err := e.Info(); err == nil && fi.ModTime().After(c.Written) {
				c.Written = fi.ModTime()
			}
		}
	}
	return c
}

// gatherDir looks at a directory, or at the nearest one above it where it isn't made yet.
func gatherDir(d Dir) Dir {
	for !exists(d.Path) && d.Path != "/" {
		d.Path = filepath.Dir(d.Path)
	}
	if err := unix.Faccessat2(unix.AT_FDCWD, d.Path, unix.W_OK|unix.X_OK, unix.AT_EACCESS); err != nil && !errors.Is(err, unix.EROFS) {
		d.Err = err.Error()
	}
	if !isDir(d.Path) {
		d.Err = "it is no directory"
	}
	var st unix.Statfs_t
	if err := unix.Statfs(d.Path, &st); err != nil {
		return d
	}
	d.ReadOnly, d.NoExec = st.Flags&unix.ST_RDONLY != 0, st.Flags&unix.ST_NOEXEC != 0
	block := uint64(st.Bsize)
	d.Free, d.Size, d.FreeFiles, d.Files = st.Bavail*block, st.Blocks*block, st.Ffree, st.Files
	return d
}

func isDir(path string) bool {
	fi, err := os.Stat(path)
	return err == nil && fi.IsDir()
}
