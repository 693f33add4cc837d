package systemd

import (
	"context"
	"errors"
	"fmt"
	"os"
	osuser "os/user"
	"path/filepath"
	"strconv"
	"strings"
	"time"

	"reconciler.dev/reconciler/internal/atomicfile"
	"reconciler.dev/reconciler/internal/logfile"
	"reconciler.dev/reconciler/internal/sockets"
	"reconciler.dev/reconciler/internal/spawn"
	"reconciler.dev/reconciler/pkg/drivers"
	"reconciler.dev/reconciler/pkg/spec"
)

// plan is a daemon as a unit, ready to be written.
type plan struct {
	want    *spec.Daemon
	stamp   *spec.Stamp
	account *spawn.Account
	// become says that the manager has to change to the account.
	become bool
	// text is the unit file.
	text    []byte
	envFile string
	secrets []byte
	// callsTool says that the unit calls our copy of this program; usesTool that the daemon is started by it.
	callsTool, usesTool bool
	tool                string
	limits              Limits
	// sockets are the units of its sockets.
	sockets []SocketUnit
	lost    []spec.Loss
	// log is the file that the output goes to, empty where that is the journal.
	log string
}

// Check looks whether want could be started: its account, its program, its directories, what this host can't enforce of it, and whether its unit's name is free.
func (d *Driver) Check(ctx context.Context, want *spec.Daemon) ([]spec.Loss, error) {
	lost, err := d.check(ctx, want)
	if err != nil {
		return nil, fmt.Errorf("check daemon %s: %w", want.Name, err)
	}
	return lost, nil
}

func (d *Driver) check(ctx context.Context, want *spec.Daemon) ([]spec.Loss, error) {
	p, err := d.prepare(ctx, want, drivers.NewStamp(spec.Step{Want: want, Name: want.Name}, nil, time.Time{}))
	if err != nil {
		return nil, err
	}
	if err := p.check(); err != nil {
		return nil, err
	}
	if foreign := d.foreignPart(p); foreign != "" {
		return nil, standsThere(foreign, "a socket of daemon "+want.Name)
	}
	unit := spec.UnitName(want.Name, want.Spec.Cgroup)
	if foreign := d.foreign(want.Name, unit); foreign != "" {
		return nil, standsThere(foreign, "unit "+unit)
	}
	return p.lost, nil
}

// render writes the unit of a daemon.
func (d *Driver) render(ctx context.Context, want *spec.Daemon, stamp *spec.Stamp) (*plan, error) {
	facts, err := d.facts(ctx)
	if err != nil {
		return nil, err
	}
	account, become, err := d.account(want.Spec.User, want.Spec.Group)
	if err != nil {
		return nil, err
	}
	u, err := Render(want, stamp, facts)
	if err != nil {
		return nil, err
	}
	return &plan{
		want: want, stamp: stamp, account: account, become: become, log: want.Spec.Log.Path,
		text: u.Text, envFile: u.EnvFile, secrets: u.Secrets, callsTool: u.CallsTool, usesTool: u.UsesTool, tool: facts.Tool, limits: u.Limits, sockets: u.Sockets, lost: append(u.Lost, d.losses(ctx, &want.Spec)...),
	}, nil
}

// account finds who a daemon runs as. A user's manager can make nobody else of a process.
func (d *Driver) account(user, group string) (*spawn.Account, bool, error) {
	if user == "" && group == "" {
		return d.own, false, nil
	}
	a, become, err := spawn.LookupAccount(user, group)
	if err != nil {
		return nil, false, fmt.Errorf("%w: %w", err, drivers.ErrPermanent)
	}
	if group != "" {
		if _, err := osuser.LookupGroupId(strconv.Itoa(int(a.GID))); err != nil {
			return nil, false, fmt.Errorf("spec.group: %s has no entry in the table of groups, and systemd wants one: %w", group, drivers.ErrPermanent)
		}
	}
	return a, become, nil
}

// facts are what the units of this host depend on; the manager is asked once.
func (d *Driver) facts(ctx context.Context) (Facts, error) {
	d.learnt.mu.Lock()
	defer d.learnt.mu.Unlock()
	if d.learnt.facts != nil {
		return *d.learnt.facts, nil
	}
	l, err := d.bus.get(ctx)
	if err != nil {
		return Facts{}, err
	}
	var version string
	var environment []string
	for name, to := range map[string]any{"Version": &version, "Environment": &environment} {
		if err := l.callOn(ctx, l.manager, "org.freedesktop.DBus.Properties.Get", managerInterface, name).Store(to); err != nil {
			return Facts{}, fmt.Errorf("ask systemd for its %s: %w", name, err)
		}
	}
	f := &Facts{Version: major(version), User: d.scope.user, Tool: d.toolPath(), EnvDir: filepath.Join(d.dirs.State, "secrets"), UnitOf: d.unitOf}
	f.Account = func(user, group string) (*spawn.Account, error) {
		a, _, err := d.account(user, group)
		return a, err
	}
	for _, kv := range environment {
		name, _, _ := strings.Cut(kv, "=")
		f.Inherited = append(f.Inherited, name)
	}
	d.learnt.facts = f
	return *f, nil
}

// major is the number that systemd's version begins with.
func major(version string) int {
	n := 0
	for _, c := range strings.TrimPrefix(version, "v") {
		if c < '0' || c > '9' {
			break
		}
		n = n*10 + int(c-'0')
	}
	return n
}

// unitOf is the unit of another daemon of ours, empty where there is none.
func (d *Driver) unitOf(name string) string {
	if finds, err := d.locate([]string{name}); err == nil && finds[0].ours() {
		return finds[0].unit
	}
	return ""
}

// prepare renders a daemon and refuses what couldn't be started here. Its errors are those that a second try can't mend.
func (d *Driver) prepare(ctx context.Context, want *spec.Daemon, stamp *spec.Stamp) (*plan, error) {
	p, err := d.render(ctx, want, stamp)
	if err != nil {
		return nil, err
	}
	var refused []error
	for _, l := range p.lost {
		if required(l.Field, &want.Spec) {
			refused = append(refused, drivers.Refusal(l))
		}
	}
	if err := errors.Join(refused...); err != nil {
		return nil, err
	}
	return p, nil
}

// required tells whether the spec refuses a host that can't do what a field asks for.
func required(field string, s *spec.Spec) bool {
	switch {
	case len(field) > len("spec.cgroup.") && field[:len("spec.cgroup.")] == "spec.cgroup.":
		return s.Cgroup != nil && s.Cgroup.Required
	case len(field) > len("spec.sandbox.") && field[:len("spec.sandbox.")] == "spec.sandbox.":
		return s.Sandbox != nil && s.Sandbox.Required
	default:
		return false
	}
}

// program is what has to be in order before the start.
func (p *plan) program() *drivers.Program {
	s := &p.want.Spec
	return &drivers.Program{Binary: s.Binary, Dir: s.WorkingDir, Log: p.log, Account: p.account, Become: p.become}
}

// check looks at what the start would need. It asks the kernel as the account that will.
func (p *plan) check() error {
	var listen []sockets.Socket
	for _, s := range p.sockets {
		listen = append(listen, s.Socket)
	}
	if err := drivers.CheckSockets(listen); err != nil {
		return err
	}
	program := p.program()
	program.Awaited = p.want.Spec.Install != nil
	if err := program.Check(); err != nil || !p.usesTool {
		return err
	}
	var as *spawn.Account
	if p.become {
		as = p.account
	}
	if err := spawn.MayExecute(as, nearest(p.tool)); err != nil {
		return fmt.Errorf("user %s can't execute %s (%s: %w), which has to hand on what systemd can't, as a variable with a control character in it: let others into the directories on the way (chmod o+x): %w",
			p.account.Name, p.tool, nearest(p.tool), err, drivers.ErrPermanent)
	}
	return nil
}

// openLog makes the log file of a daemon that has one of its own, and returns where its next output begins.
func (p *plan) openLog() (int64, error) {
	if p.log == "" {
		return 0, nil
	}
	f, err := p.program().OpenLog()
	if err != nil {
		return 0, err
	}
	defer f.Close()
	return logfile.Position(f)
}

// secretsPath is where the secrets of a daemon are. systemd starts it at boot before anybody else could tell them.
func (d *Driver) secretsPath(name string) string {
	return filepath.Join(d.dirs.State, "secrets", name+".env")
}

// writeSecrets writes the secrets of a daemon, for their owner alone, or removes those of a daemon that has none any more.
func (d *Driver) writeSecrets(p *plan) error {
	if p.envFile == "" {
		path := d.secretsPath(p.want.Name)
		if _, err := os.Lstat(path); err != nil {
			return nil
		}
		return atomicfile.Remove(path, atomicfile.Durable)
	}
	if err := atomicfile.MkdirAll(filepath.Dir(p.envFile), 0o700, atomicfile.Durable); err != nil {
		return err
	}
	return atomicfile.Write(p.envFile, p.secrets, 0o600, atomicfile.Durable)
}
