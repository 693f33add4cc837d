package systemd

import (
	"fmt"
	"os"
	"path/filepath"
	"slices"
)

// Left returns the daemons of a user whose service manager doesn't run, and starts them as soon as it does, as at the user's next login. A machine that systemd didn't boot
// starts none before it is booted by it, and then nothing of this boot is left.
func Left() ([]string, error) {
	e, err := here()
	if err != nil {
		return nil, fmt.Errorf("find what driver systemd has left: %w", err)
	}
	return e.left()
}

func (e environment) left() ([]string, error) {
	if fi, err := os.Lstat(e.at("/run/systemd/system")); err != nil || !fi.IsDir() || e.uid == 0 {
		return nil, nil
	}
	config := e.config()
	if config == "" {
		return nil, nil
	}
	found, err := (&units{dir: e.at(config, "systemd/user"), cache: map[string]*unitFile{}}).scan(nil)
	if err != nil {
		return nil, fmt.Errorf("find what driver systemd has left: %w", err)
	}
	var names []string
	for _, f := range found {
		names = append(names, f.name())
	}
	slices.Sort(names)
	return names, nil
}

// config is where the user's configuration is, empty where it can't be told.
func (e environment) config() string {
	for _, dir := range []string{e.getenv("XDG_CONFIG_HOME"), filepath.Join(e.home, ".config")} {
		if filepath.IsAbs(dir) {
			return dir
		}
	}
	return ""
}
