package sshconfig

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"os/user"
	"path/filepath"
	"runtime"
	"slices"
	"strconv"
	"strings"
)

// Here returns what ssh would use, run by the user of this process on this machine, but for the home: that is HOME, as it is for the rest of this program, and only
// where there is none that of the account, which ssh takes always.
func Here() (Context, Paths, error) {
	name, err := os.Hostname()
	if err != nil {
		return Context{}, Paths{}, fmt.Errorf("look up this machine's name: %w", err)
	}
	c := Context{User: os.Getenv("USER"), UID: strconv.Itoa(os.Getuid()), Home: os.Getenv("HOME"), HostName: name, LookupEnv: os.LookupEnv, HomeOf: homeOf}
	me, err := user.Current()
	switch {
	case err == nil:
		c.User, c.UID = me.Username[strings.LastIndexByte(me.Username, '\\')+1:], me.Uid // on Windows it is DOMAIN\USER
		if !filepath.IsAbs(c.Home) {
			c.Home = me.HomeDir
		}
	case c.User == "" || !filepath.IsAbs(c.Home): // a container may run as a number that has no account
		return Context{}, Paths{}, fmt.Errorf("look up the user of this process: %w; or set USER and HOME", err)
	}
	p := Paths{UserDir: filepath.Join(c.Home, ".ssh"), SystemDir: "/etc/ssh"}
	if runtime.GOOS == "windows" {
		p.SystemDir = filepath.Join(os.Getenv("ProgramData"), "ssh")
	}
	p.User, p.System = filepath.Join(p.UserDir, "config"), filepath.Join(p.SystemDir, "ssh_config")
	return c, p, nil
}

func homeOf(name string) (string, bool) {
	u, err := user.Lookup(name)
	if err != nil {
		return "", false
	}
	return u.HomeDir, true
}

// Disk are the files of this machine.
type Disk struct{}

var (
	errNoFile = errors.New("it is neither a file nor a directory")
	errLarge  = fmt.Errorf("it has more than %d MiB", maxBytes>>20)
)

// Read implements Files. A directory is empty, as it is for ssh.
func (Disk) Read(name string, private bool) ([]byte, error) {
	// What isn't a file may make open(2) wait.
	switch info, err := os.Stat(name); {
	case err != nil:
		return nil, err
	case info.IsDir():
		return nil, nil
	case !info.Mode().IsRegular() && info.Mode()&fs.ModeCharDevice == 0:
		return nil, fmt.Errorf("%s: %w", name, errNoFile)
	}
	f, err := os.Open(name)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	if private {
		if err := checkPrivate(f); err != nil {
			return nil, err
		}
	}
	content, err := io.ReadAll(io.LimitReader(f, maxBytes+1))
	if err == nil && len(content) > maxBytes {
		err = fmt.Errorf("%s: %w", name, errLarge)
	}
	return content, err
}

// Glob implements Files as glob(3) does: a wildcard doesn't match a dot at the front of a name, and what isn't a pattern is a name.
func (Disk) Glob(pattern string) ([]string, error) {
	found, err := filepath.Glob(strings.ReplaceAll(pattern, "[!", "[^"))
	if errors.Is(err, filepath.ErrBadPattern) {
		if _, err := os.Lstat(pattern); err != nil {
			return nil, nil
		}
		return []string{pattern}, nil
	}
	wanted := strings.Split(filepath.ToSlash(filepath.Clean(pattern)), "/")
	found = slices.DeleteFunc(found, func(name string) bool {
		for i, part := range strings.Split(filepath.ToSlash(name), "/") {
			if strings.HasPrefix(part, ".") && i < len(wanted) && strings.IndexAny(wanted[i], "*?[") == 0 {
				return true
			}
		}
		return false
	})
	slices.Sort(found)
	return found, err
}
