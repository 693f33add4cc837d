package process

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"path/filepath"
	"slices"
	"strings"

	"reconciler.dev/reconciler/internal/sockets"
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
	// sockets are held for it, and handed to it.
	sockets []sockets.Socket
}

// prepare works out how want is started. Its errors are those that a second try can't mend.
func (d *Driver) prepare(want *spec.Daemon) (*launch, error) {
	s := &want.Spec
	if err := d.refuseLosses(want); err != nil {
		return nil, err
	}
	a, become, err := d.account(s)
	if err != nil {
		return nil, fmt.Errorf("%w: %w", err, drivers.ErrPermanent)
	}
	env, err := environ(want, a)
	if err != nil {
		return nil, err
	}
	listen, err := drivers.Sockets(s, a)
	if err != nil {
		return nil, err
	}
	l := &launch{sockets: listen, account: a, log: d.logPath(want.Name, s), cmd: spawn.Cmd{
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
	if b := s.Sandbox; b != nil {
		l.cmd.NoNewPrivileges = b.NoNewPrivileges
		if spawn.MayDropCapabilities() {
			l.cmd.Capabilities = capabilities(b.Capabilities)
		}
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

// capabilities are the numbers of those that are all a daemon can ever have; nil where it may have what its user has.
func capabilities(names []string) []int {
	if len(names) == 0 {
		return nil
	}
	caps := []int{}
	for i, known := range spec.CapabilityNames() {
		if slices.Contains(names, known) {
			caps = append(caps, i)
		}
	}
	return caps
}

// account returns who s runs as, and whether a process must change to be that.
func (d *Driver) account(s *spec.Spec) (*spawn.Account, bool, error) {
	if s.User == "" && s.Group == "" {
		return d.own, false, nil
	}
	return spawn.LookupAccount(s.User, s.Group)
}

// logPath is one for both copies of a daemon.
func (d *Driver) logPath(name string, s *spec.Spec) string {
	if s.Log.Path != "" {
		return s.Log.Path
	}
	name, _ = spec.LogicalName(name)
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

// losses lists what s asks for and no process that we start can have, whatever holds its tree.
func losses(s *spec.Spec) (lost []spec.Loss) {
	lose := func(asked bool, field, what string) {
		if asked {
			lost = append(lost, spec.Loss{Field: field, Reason: what})
		}
	}
	_, locks := s.Rlimits["locks"]
	lose(locks, "spec.rlimits.locks", "Linux has had no limit on locks since 2.4.25")
	lose(s.Type == spec.TypeNotify, "spec.type", "only systemd waits for READY=1; it counts as started once its program is executed")
	if b := s.Sandbox; b != nil {
		const systemd = "; the driver systemd can"
		lose(b.ProtectSystem != "", "spec.sandbox.protectSystem", "it takes a file system of its own"+systemd)
		lose(b.ProtectHome != "", "spec.sandbox.protectHome", "it takes a file system of its own"+systemd)
		lose(b.PrivateTmp, "spec.sandbox.privateTmp", "it takes a file system of its own"+systemd)
		lose(len(b.ReadWritePaths) > 0, "spec.sandbox.readWritePaths", "all paths are as writable as its user has them"+systemd)
		lose(len(b.Capabilities) > 0 && !spawn.MayDropCapabilities(), "spec.sandbox.capabilities", "only root may take capabilities from a daemon for ever; run reconciler as root")
	}
	return lost
}

// losses lists all that s asks for and doesn't get.
func (d *Driver) losses(name string, s *spec.Spec) []spec.Loss {
	return append(losses(s), d.trees.Lost(name, s)...)
}

// refuseLosses refuses a daemon that would lose what it says it must have. The error names all of it.
func (d *Driver) refuseLosses(want *spec.Daemon) error {
	s := &want.Spec
	var all []error
	for _, l := range d.losses(want.Name, s) {
		for part, required := range map[string]bool{
			"spec.cgroup": s.Cgroup != nil && s.Cgroup.Required, "spec.sandbox": s.Sandbox != nil && s.Sandbox.Required,
		} {
			if required && strings.HasPrefix(l.Field, part+".") {
				all = append(all, drivers.Refusal(l))
			}
		}
	}
	return errors.Join(all...)
}

// Check looks whether want could be started: its account, its program, its directories.
func (d *Driver) Check(_ context.Context, want *spec.Daemon) ([]spec.Loss, error) {
	err := func() error {
		l, err := d.prepare(want)
		if err != nil {
			return err
		}
		if _, err := d.trees.Place(want.Name, &want.Spec); err != nil {
			return err
		}
		if err := drivers.CheckSockets(l.sockets); err != nil {
			return err
		}
		p := l.program()
		p.Awaited = want.Spec.Install != nil
		return p.Check()
	}()
	if err != nil {
		return nil, fmt.Errorf("check daemon %s: %w", want.Name, err)
	}
	return d.losses(want.Name, &want.Spec), nil
}

// program is what has to be in order before the start.
func (l *launch) program() *drivers.Program {
	return &drivers.Program{Binary: l.cmd.Path, Dir: l.cmd.Dir, Log: l.log, Account: l.account, Become: l.cmd.Account != nil}
}
