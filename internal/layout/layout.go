// Package layout says where reconciler keeps what it keeps. It decides paths and makes directories; it never reads or writes what is in them.
package layout

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
)

// Dirs are the directories of one instance of reconciler. Instances with different Dirs know nothing of each other.
type Dirs struct {
	// State is for what must survive a reboot: history, pauses, contents, events.
	State string
	// Run is for what is true only until the reboot: records of processes and locks.
	Run string
	// Log is for the daemons' logs.
	Log string
}

// Default returns the directories for the user uid: those of the file system hierarchy for root, and below $XDG_STATE_HOME for others.
//
// Another user's Run is not in $XDG_RUNTIME_DIR: that one goes away with the user's last session, and isn't set in every session
// (cron, sudo, a plain su), while daemons live on. A lost record would start a second copy, so records lie beside the rest and name the boot
// they belong to.
func Default(getenv func(string) string, uid int) (Dirs, error) {
	if uid == 0 {
		return Dirs{State: "/var/lib/reconciler", Run: "/run/reconciler", Log: "/var/log/reconciler"}, nil
	}
	home := getenv("XDG_STATE_HOME")
	if !filepath.IsAbs(home) { // the XDG base directory specification: relative paths are to be ignored
		user := getenv("HOME")
		if !filepath.IsAbs(user) {
			return Dirs{}, errors.New("find the state directory: neither XDG_STATE_HOME nor HOME is an absolute path; set one, or give --state-dir")
		}
		home = filepath.Join(user, ".local", "state")
	}
	root := filepath.Join(home, "reconciler")
	return Dirs{State: root, Run: filepath.Join(root, "run"), Log: filepath.Join(root, "log")}, nil
}

// Under returns the directories below root, for --state-dir.
func Under(root string) Dirs {
	return Dirs{State: filepath.Join(root, "state"), Run: filepath.Join(root, "run"), Log: filepath.Join(root, "log")}
}

// Programs is where programs are kept by their content: in HASH/NAME each.
func (d Dirs) Programs() string { return filepath.Join(d.State, "bin") }

// Builds is where is kept what is known of programs that are built here.
func (d Dirs) Builds() string { return filepath.Join(d.State, "builds") }

// SearchPath is where the user uid's programs are looked up by their names, as a $PATH: where programs are installed that come with no package ($RECONCILER_INSTALL_DIR; by default
// /usr/local/bin for root and ~/.local/bin for others), then ~/.local/bin, then $PATH. Each folder is there once, at its first place; relative ones aren't.
func SearchPath(getenv func(string) string, uid int) string {
	local := ""
	if home := getenv("HOME"); filepath.IsAbs(home) {
		local = filepath.Join(home, ".local", "bin")
	}
	install := getenv("RECONCILER_INSTALL_DIR")
	switch {
	case install != "":
	case uid == 0:
		install = "/usr/local/bin"
	default:
		install = local
	}
	var dirs []string
	for _, dir := range append([]string{install, local}, filepath.SplitList(getenv("PATH"))...) {
		if filepath.IsAbs(dir) && !slices.Contains(dirs, filepath.Clean(dir)) {
			dirs = append(dirs, filepath.Clean(dir))
		}
	}
	return strings.Join(dirs, string(filepath.ListSeparator))
}

// Make makes the directories that are missing, with their parents. Run is for its owner alone: records and locks in it are trusted. So is
// what lies in State; but others may pass through it, to the programs that daemons of theirs are started by.
func (d Dirs) Make() error {
	for _, m := range []struct {
		path string
		mode os.FileMode
	}{{d.State, 0o711}, {d.Run, 0o700}, {d.Log, 0o755}} {
		if err := os.MkdirAll(m.path, m.mode); err != nil {
			return fmt.Errorf("make the directories of reconciler: %w; give --state-dir to keep them elsewhere", err)
		}
	}
	return nil
}

// Tool is where a copy of this program is that what outlives it can call: see internal/selfcopy.
func (d Dirs) Tool() string { return filepath.Join(d.State, "bin", "reconciler") }
