package local

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"strings"

	"reconciler.dev/reconciler/internal/spawn"
	"reconciler.dev/reconciler/pkg/drivers"
	"reconciler.dev/reconciler/pkg/spec"
)

// probeExec runs the command as the daemon's user, and never as one that may do more: what is checked for one daemon must not get the rights of this program.
func (h *Host) probeExec(ctx context.Context, daemon string, check spec.Health) error {
	cmd, err := h.execCmd(ctx, daemon, check.Exec)
	if err != nil {
		return fmt.Errorf("check daemon %s: %w", daemon, err)
	}
	sp, err := h.spawner()
	if err != nil {
		return fmt.Errorf("check daemon %s: %w", daemon, err)
	}
	out, err := sp.Run(ctx, cmd, 4*excerpt)
	if err != nil {
		return fmt.Errorf("%s%s", plain(ctx, err, check), quoted(out))
	}
	return nil
}

// execCmd is argv as the daemon's account runs it: with the daemon's environment, less the secrets, and in its working directory.
func (h *Host) execCmd(ctx context.Context, daemon string, argv []string) (spawn.Cmd, error) {
	s, err := h.stamped(ctx, daemon)
	if err != nil {
		return spawn.Cmd{}, err
	}
	account, become, err := spawn.LookupAccount(s.User, s.Group)
	if err != nil {
		return spawn.Cmd{}, err
	}
	vars := map[string]string{}
	for name, v := range s.Env {
		if v.Value != nil {
			vars[name] = *v.Value
		}
	}
	cmd := spawn.Cmd{Args: argv, Env: account.EnvironWith(vars), Dir: s.WorkingDir, Umask: 0o022}
	if cmd.Dir == "" {
		cmd.Dir = "/"
	}
	if become {
		cmd.Account = account
	}
	cmd.Path, err = program(argv[0], cmd.Env)
	return cmd, err
}

// stamped returns what was applied of a daemon.
func (h *Host) stamped(ctx context.Context, daemon string) (*spec.Spec, error) {
	var unknown string
	for _, d := range h.drivers {
		found, err := d.Observe(ctx, daemon)
		if err != nil {
			return nil, err
		}
		if s := found[0].Stamp; s != nil {
			own := s.Spec.InSlot(found[0].Slot)
			return &own, nil
		}
		if found[0].State == spec.Unknown {
			unknown = found[0].Message
		}
	}
	if unknown != "" {
		return nil, fmt.Errorf("find out which user it runs as: %s", unknown)
	}
	return nil, fmt.Errorf("find out which user it runs as: %w", drivers.ErrNotFound)
}

// program finds a command by its path, or by its name in the PATH of env.
func program(name string, env []string) (string, error) {
	if strings.Contains(name, "/") {
		return name, nil
	}
	for _, v := range env {
		dirs, ok := strings.CutPrefix(v, "PATH=")
		if !ok {
			continue
		}
		for _, dir := range filepath.SplitList(dirs) {
			path := filepath.Join(dir, name)
			if info, err := os.Stat(path); err == nil && info.Mode().IsRegular() && info.Mode().Perm()&0o111 != 0 {
				return path, nil
			}
		}
		return "", fmt.Errorf("there is no command %q in %s", name, dirs)
	}
	return "", fmt.Errorf("there is no command %q", name)
}
