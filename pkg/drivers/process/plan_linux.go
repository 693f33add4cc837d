package process

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"slices"

	"golang.org/x/sys/unix"

	"reconciler.dev/reconciler/internal/spawn"
	"reconciler.dev/reconciler/pkg/drivers"
	"reconciler.dev/reconciler/pkg/spec"
)

// defaultUmask is that of a daemon whose spec says nothing.
const defaultUmask = 0o022

// launch is how a daemon is to be started.
type launch struct {
	cmd spawn.Cmd
	// account is who it runs as, also where cmd needn't change to that.
	account *spawn.Account
	log     string
}

// prepare works out how want is started. Its errors are those that a second try can't mend.
func (d *Driver) prepare(want *spec.Daemon) (*launch, error) {
	s := &want.Spec
	if lost := losses(s); len(lost) > 0 && s.Cgroup.Required {
		return nil, fmt.Errorf("%s: %s, and cgroup.required is set: %w", lost[0].Field, lost[0].Reason, drivers.ErrUnsupported)
	}
	a, become, err := d.account(s)
	if err != nil {
		return nil, fmt.Errorf("%w: %w", err, drivers.ErrPermanent)
	}
	env, err := environ(want, a)
	if err != nil {
		return nil, err
	}
	l := &launch{account: a, log: d.logPath(want.Name, s), cmd: spawn.Cmd{
		Path: s.Binary, Args: slices.Concat([]string{s.Binary}, s.Args), Env: env, Dir: s.WorkingDir, Umask: defaultUmask, Nice: s.Nice,
	}}
	if l.cmd.Dir == "" {
		l.cmd.Dir = "/"
	}
	if s.Umask != nil {
		l.cmd.Umask = int(*s.Umask)
	}
	if become {
		l.cmd.Account = a
	}
	for _, name := range slices.Sorted(maps.Keys(s.Rlimits)) {
		if name == "locks" {
			continue // see losses
		}
		if err := spawn.CheckRlimit(name); err != nil {
			return nil, fmt.Errorf("spec.rlimits.%s: %w: %w", name, err, drivers.ErrPermanent)
		}
		l.cmd.Rlimits = append(l.cmd.Rlimits, spawn.Rlimit{Name: name, Soft: s.Rlimits[name].Soft, Hard: s.Rlimits[name].Hard})
	}
	return l, nil
}

// account returns who s runs as, and whether a process must change to be that.
func (d *Driver) account(s *spec.Spec) (*spawn.Account, bool, error) {
	if s.User == "" && s.Group == "" {
		return d.own, false, nil
	}
	return spawn.LookupAccount(s.User, s.Group)
}

func (d *Driver) logPath(name string, s *spec.Spec) string {
	if s.Log.Path != "" {
		return s.Log.Path
	}
	return filepath.Join(d.dirs.Log, name+".log")
}

// environ returns the account's variables with those of the spec over them.
func environ(want *spec.Daemon, a *spawn.Account) ([]string, error) {
	vars := map[string]string{}
	for k, v := range want.Spec.Env {
		switch secret, ok := want.Secrets[k]; {
		case v.Value != nil:
			vars[k] = *v.Value
		case ok:
			vars[k] = secret.Reveal()
		default:
			return nil, fmt.Errorf("spec.env.%s: its value was not read: %w", k, drivers.ErrPermanent)
		}
	}
	return a.EnvironWith(vars), nil
}

// losses lists what s asks for and a plain process can't have.
func losses(s *spec.Spec) (lost []spec.Loss) {
	lose := func(asked bool, field, what string) {
		if asked {
			lost = append(lost, spec.Loss{Field: field, Reason: what})
		}
	}
	if _, ok := s.Rlimits["locks"]; ok {
		lose(true, "spec.rlimits.locks", "Linux has had no limit on locks since 2.4.25")
	}
	c := s.Cgroup
	if c == nil {
		return lost
	}
	const instead = "; the drivers systemd and cgroup can"
	lose(c.CPULimit != 0, "spec.cgroup.cpuLimit", "the process driver can't limit CPU time"+instead)
	lose(c.MemoryLimit != 0 && c.MemoryLimit != spec.Unlimited, "spec.cgroup.memoryLimit", "the process driver can't limit memory"+instead)
	lose(c.MemoryHigh != 0 && c.MemoryHigh != spec.Unlimited, "spec.cgroup.memoryHigh", "the process driver can't slow a daemon down for its memory"+instead)
	lose(c.PidsLimit != 0, "spec.cgroup.pidsLimit", "the process driver can't limit the number of a daemon's processes"+instead)
	lose(c.CPUWeight != 0, "spec.cgroup.cpuWeight", "the process driver can't weigh CPU time"+instead)
	lose(c.IOWeight != 0, "spec.cgroup.ioWeight", "the process driver can't weigh IO"+instead)
	lose(c.Slice != "" || c.Service != "" || c.Instance != "", "spec.cgroup.slice", "the process driver puts daemons into no cgroup"+instead)
	return lost
}

// Check looks whether want could be started: its account, its program, its directories.
func (d *Driver) Check(_ context.Context, want *spec.Daemon) ([]spec.Loss, error) {
	err := func() error {
		l, err := d.prepare(want)
		if err != nil {
			return err
		}
		return l.check()
	}()
	if err != nil {
		return nil, fmt.Errorf("check daemon %s: %w", want.Name, err)
	}
	return losses(&want.Spec), nil
}

// check looks at what the start would need. It asks the kernel as the account that will.
func (l *launch) check() error {
	if fi, err := os.Stat(l.cmd.Dir); err != nil || !fi.IsDir() {
		return fmt.Errorf("spec.workingDir: %s is no directory: make it: %w", l.cmd.Dir, drivers.ErrPermanent)
	}
	if found := spawn.CheckProgram(l.cmd.Path, nil); found != "" {
		return fmt.Errorf("spec.binary: %s: %s: %w", l.cmd.Path, found, drivers.ErrPermanent)
	}
	if err := spawn.MayExecute(l.cmd.Account, l.cmd.Path); err != nil {
		return fmt.Errorf("spec.binary: user %s can't execute %s (%w): look at its permissions and those of the directories on the way: %w", l.account.Name, l.cmd.Path, err, drivers.ErrPermanent)
	}
	if err := spawn.MayExecute(l.cmd.Account, l.cmd.Dir); err != nil {
		return fmt.Errorf("spec.workingDir: user %s can't enter %s (%w): %w", l.account.Name, l.cmd.Dir, err, drivers.ErrPermanent)
	}
	dir := filepath.Dir(l.log)
	switch err := unix.Access(dir, unix.W_OK|unix.X_OK); {
	case errors.Is(err, unix.ENOENT): // it will be made
	case err != nil:
		return fmt.Errorf("spec.log.path: %s can't be written in (%w): %w", dir, err, drivers.ErrPermanent)
	}
	return nil
}
