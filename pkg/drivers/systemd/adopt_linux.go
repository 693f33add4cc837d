package systemd

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/godbus/dbus/v5"

	"reconciler.dev/reconciler/internal/atomicfile"
	"reconciler.dev/reconciler/internal/failpoint"
	"reconciler.dev/reconciler/internal/procfs"
	"reconciler.dev/reconciler/pkg/drivers"
	"reconciler.dev/reconciler/pkg/spec"
)

var _ drivers.Adopter = (*Driver)(nil)

// Inspect looks at a unit that is to be taken over. It keeps its name, for systemd can't give a process that runs to another unit: our file takes the place of its file, and the manager
// reads it, which touches no process.
func (d *Driver) Inspect(ctx context.Context, want *spec.Daemon, c spec.Candidate) (*spec.Takeover, error) {
	o, err := d.inspect(ctx, want, c)
	if err != nil {
		return nil, fmt.Errorf("look at what daemon %s is to be: %w", want.Name, err)
	}
	return o.Takeover, nil
}

// other is a unit that isn't ours.
type other struct {
	*spec.Takeover
	unit, invocation, fragment string
}

func (d *Driver) inspect(ctx context.Context, want *spec.Daemon, c spec.Candidate) (*other, error) {
	unit := spec.UnitName(want.Name, want.Spec.Cgroup)
	named, err := d.unitMeant(c)
	if err != nil {
		return nil, err
	}
	if named != unit {
		return nil, fmt.Errorf("a unit can't get another name while it runs, and this daemon is to be %s, not %s; name it %s in the manifest (metadata.name): %w", unit, named, strings.TrimSuffix(named, ".service"), drivers.ErrUnsupported)
	}
	if f := d.units.read(unit); f.stamp != nil || f.err != nil {
		return nil, fmt.Errorf("unit %s carries our stamp already: %w", unit, drivers.ErrConflict)
	}
	l, err := d.bus.get(ctx)
	if err != nil {
		return nil, err
	}
	facts, err := d.checkUnit(ctx, l, unit, want)
	if err != nil {
		return nil, err
	}
	if c.PID != 0 && c.PID != facts.MainPID {
		return nil, fmt.Errorf("process %d isn't the main process of unit %s, that is %d: %w", c.PID, unit, facts.MainPID, drivers.ErrMoved)
	}
	main, err := drivers.FindCandidate(spec.Candidate{PID: facts.MainPID, StartTicks: c.StartTicks})
	if err != nil {
		return nil, err
	}
	t, err := drivers.Compare(want, main, l.startedAs(ctx, unit))
	if err != nil {
		return nil, err
	}
	t.Candidate.Unit, t.Driver = unit, spec.DriverSystemd
	o := &other{t, unit, facts.Invocation, facts.Fragment}
	return o, d.compareUnit(ctx, want, o)
}

// unitMeant is the unit that c names, or that its process is in.
func (d *Driver) unitMeant(c spec.Candidate) (string, error) {
	if c.Unit != "" {
		if strings.ContainsAny(c.Unit, "/\x00") {
			return "", fmt.Errorf("%q is no name of a unit: %w", c.Unit, drivers.ErrPermanent)
		}
		if filepath.Ext(c.Unit) != ".service" {
			return c.Unit + ".service", nil
		}
		return c.Unit, nil
	}
	main, err := drivers.FindCandidate(c)
	if err != nil {
		return "", err
	}
	unit := drivers.UnitOfProcess(main.PID)
	if !strings.HasSuffix(unit, ".service") || strings.HasPrefix(unit, "user@") && !d.scope.user {
		return "", fmt.Errorf("process %d is in no service of systemd's, and systemd can't be given a process that it didn't start; put driver: process into the manifest to take it over as it is: %w", main.PID, drivers.ErrUnsupported)
	}
	return unit, nil
}

// checkUnit refuses a unit that can't go on as one of ours.
func (d *Driver) checkUnit(ctx context.Context, l *link, unit string, want *spec.Daemon) (facts, error) {
	if loaded, err := l.isLoaded(ctx, unit); err != nil || !loaded {
		return facts{}, errors.Join(err, fmt.Errorf("unit %s doesn't run: %w", unit, drivers.ErrNotFound))
	}
	f, err := l.get(ctx, unit, map[string][]string{
		unitInterface: {"ActiveState", "SubState", "InvocationID", "FragmentPath"}, serviceInterface: {"MainPID"},
	})
	if err != nil {
		return f, err
	}
	group, _ := property[string](ctx, l, unit, serviceInterface, "ControlGroup") // what isn't told is compared as different
	triggers, err := property[[]string](ctx, l, unit, unitInterface, "TriggeredBy")
	if err != nil {
		return f, err
	}
	place, err := d.cgroupOf(ctx, unit, &want.Spec)
	refuse := func(format string, args ...any) (facts, error) {
		return f, fmt.Errorf("unit %s %s: %w", unit, fmt.Sprintf(format, args...), drivers.ErrUnsupported)
	}
	switch {
	case err != nil:
		return f, err
	case f.Active != "active" || f.Sub != "running" || f.MainPID <= 1:
		return refuse("is %s (%s), and has no main process to take over", f.Active, f.Sub)
	case f.Fragment == "" || slices.Contains(d.scope.above, filepath.Dir(f.Fragment)):
		return refuse("has no file that ours could stand in the place of: it is transient (%s), and keeps its settings until it stops", f.Fragment)
	case slices.ContainsFunc(triggers, func(t string) bool { return strings.HasSuffix(t, ".socket") }):
		return refuse("gets its sockets from %s, which our unit wouldn't; stop that first, or declare spec.listen and restart it", strings.Join(triggers, " "))
	case group != place:
		return refuse("runs in cgroup %s, and the manifest puts it into %s (spec.cgroup.slice): a unit can't move while it runs; give the slice that it is in", group, place)
	}
	return f, nil
}

// property reads one of a unit's.
func property[T any](ctx context.Context, l *link, unit, of, name string) (v T, err error) {
	err = l.callOn(ctx, l.conn.Object(destination, unitPath(unit)), "org.freedesktop.DBus.Properties.Get", of, name).Store(&v)
	return v, err
}

// startedAs is the command by which the manager started a unit, nil where that isn't plain.
func (l *link) startedAs(ctx context.Context, unit string) []string {
	var v dbus.Variant
	if err := l.callOn(ctx, l.conn.Object(destination, unitPath(unit)), "org.freedesktop.DBus.Properties.Get", serviceInterface, "ExecStart").Store(&v); err != nil {
		return nil
	}
	all, _ := v.Value().([][]any)
	if len(all) != 1 || len(all[0]) < 2 {
		return nil
	}
	path, _ := all[0][0].(string)
	argv, _ := all[0][1].([]string)
	if path == "" || len(argv) == 0 || slices.ContainsFunc(argv, func(a string) bool { return strings.Contains(a, "$") }) {
		return nil
	}
	return append([]string{path}, argv[1:]...)
}

// compareUnit says what of the unit changes.
func (d *Driver) compareUnit(ctx context.Context, want *spec.Daemon, o *other) error {
	p, err := d.prepare(ctx, want, drivers.NewStamp(spec.Step{Want: want, Name: want.Name}, nil, time.Time{}))
	if err != nil {
		return err
	}
	if foreign := d.foreignPart(p); foreign != "" {
		return standsThere(foreign, "a socket of daemon "+want.Name)
	}
	o.Lost = p.lost
	if o.PIDs, err = processesIn(filepath.Join(d.cgroupMount(), o.Cgroup), true); err != nil {
		return err
	}
	if i := slices.Index(o.PIDs, o.Candidate.PID); i > 0 {
		o.PIDs = slices.Concat(o.PIDs[i:i+1], o.PIDs[:i], o.PIDs[i+1:])
	}
	o.Now = append(o.Now, spec.Drift{Field: "unit.file", Want: d.scope.file(o.unit), Have: o.fragment, Class: spec.Live})
	have, err := os.ReadFile(o.fragment)
	if err != nil {
		return fmt.Errorf("read the unit's file: %w", err)
	}
	for _, c := range Changes(p.text, have) {
		section, key, _ := strings.Cut(strings.TrimPrefix(c.Field, "unit "), ".")
		switch {
		case section == "Service" && slices.Contains(seen(), key):
		case section == "Service" && c.Want == "" && !slices.Contains(managed(), key):
			c.Class = spec.Restarted
			o.Pending = append(o.Pending, c)
		default:
			c.Class = spec.Live
			o.Now = append(o.Now, c)
		}
	}
	look := spec.Observed{Stamp: p.stamp}
	d.readCgroup(ctx, &finding{unit: o.unit, state: spec.Running, file: &unitFile{unit: o.unit, stamp: p.stamp}}, &look)
	o.Now = append(o.Now, look.Drift...)
	for _, in := range (&around{s: &d.scope}).dropIns(o.unit, "") {
		o.Notes = append(o.Notes, "the drop-in "+in.path+" goes on to count until the next apply takes it away; put what it says into the manifest first")
	}
	if filepath.Dir(o.fragment) == d.scope.units {
		o.Notes = append(o.Notes, "its file is kept as "+d.originalPath(o.unit))
	}
	o.Notes = append(o.Notes, "its output goes on to where it went ("+o.Output+") before its next start")
	return nil
}

// seen are settings that the process itself was compared by.
func seen() []string {
	return []string{"ExecStart", "Environment", "EnvironmentFile", "User", "Group", "UMask", "WorkingDirectory", "Nice", "UnsetEnvironment", "PassEnvironment"}
}

// managed are settings that count at once: they say what the manager does with a process, and not how it is started.
func managed() []string {
	return []string{
		"Type", "PIDFile", "BusName", "NotifyAccess", "Restart", "RestartSec", "RestartForceExitStatus", "RestartPreventExitStatus", "SuccessExitStatus", "RemainAfterExit", "GuessMainPID", "KillMode",
		"KillSignal", "RestartKillSignal", "FinalKillSignal", "SendSIGKILL", "SendSIGHUP", "TimeoutSec", "TimeoutStartSec", "TimeoutStopSec", "TimeoutAbortSec", "ExecStop", "ExecStopPost", "ExecReload",
		"ExecStartPre", "ExecStartPost", "ExecCondition", "OOMPolicy", "Slice", "MemoryMax", "MemoryHigh", "CPUQuota", "CPUWeight", "IOWeight", "TasksMax", "StandardOutput", "StandardError", "StandardInput", "SyslogIdentifier",
	}
}

// originalPath is where the file is kept that ours takes the place of.
func (d *Driver) originalPath(unit string) string {
	return filepath.Join(d.dirs.State, "adopted", unit)
}

// adopt takes a unit over. It is ours from the instant on at which our file is in its place; the manager reads that after, and whoever looks after a crash between the two has it do so.
func (d *Driver) adopt(ctx context.Context, step spec.Step) error {
	f, l, err := d.findOne(ctx, step.Name)
	if err != nil {
		return err
	}
	if f.ours() {
		if f.inst == nil || f.inst.PID != step.Adopt.PID || f.inst.StartTicks != step.Adopt.StartTicks {
			return fmt.Errorf("there is a daemon of that name already: %w", drivers.ErrConflict)
		}
		return d.complyAdopted(ctx, l, step, f.unit)
	}
	o, err := d.inspect(ctx, step.Want, *step.Adopt)
	if err != nil {
		return err
	}
	p, err := d.prepare(ctx, step.Want, drivers.NewStamp(step, nil, time.Now()))
	if err != nil {
		return err
	}
	if err := d.noteAdopted(f.name, step, o); err != nil {
		return err
	}
	failpoint.Hit(failpoint.AdoptBegun)
	if err := errors.Join(d.keepOriginal(o), d.writeSecrets(p)); err != nil {
		return err
	}
	if err := d.put(ctx, f, o.unit, p); err != nil {
		return err
	}
	failpoint.Hit(failpoint.AdoptTaken)
	return d.complyAdopted(ctx, l, step, o.unit)
}

// complyAdopted has the manager go by the file of a unit that was taken over: at boot, and at once.
func (d *Driver) complyAdopted(ctx context.Context, l *link, step spec.Step, unit string) error {
	if err := errors.Join(d.enable(unit), d.reread(ctx, l, unit)); err != nil {
		return err
	}
	f, l, err := d.findOne(ctx, step.Name)
	if err != nil || len(d.limitDrift(ctx, f)) == 0 {
		return err
	}
	p, err := d.prepare(ctx, step.Want, f.stamp())
	if err != nil {
		return err
	}
	return d.setLimits(ctx, l, f, unit, p)
}

// noteAdopted writes the note of the instance that is taken over. Without the unit file it says nothing to anybody.
func (d *Driver) noteAdopted(name string, step spec.Step, o *other) error {
	pending := append(o.Pending, drivers.GiveLimits(&step.Want.Spec, o.PIDs)...)
	i := &spec.Instance{
		ID: o.invocation, PID: o.Candidate.PID, StartTicks: o.Candidate.StartTicks, BootID: d.boot, StartedAt: o.Since,
		Generation: step.Generation, SpecDigest: step.Want.Digest, Pending: pending,
	}
	if len(pending) > 0 {
		i.Generation, i.SpecDigest = 0, "" // what runs is none that was ever applied
	}
	if st, err := procfs.ReadStat(i.PID); err != nil || st.Start != i.StartTicks {
		return fmt.Errorf("process %d has ended meanwhile: %w", i.PID, drivers.ErrMoved)
	}
	return d.notes.write(name, note{Unit: o.unit, Instance: i})
}

// keepOriginal keeps the file that ours takes the place of. One in another directory stays where it is.
func (d *Driver) keepOriginal(o *other) error {
	if filepath.Dir(o.fragment) != d.scope.units {
		return nil
	}
	text, err := os.ReadFile(o.fragment)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return fmt.Errorf("keep unit file %s: %w", o.fragment, err)
	}
	path := d.originalPath(o.unit)
	if err := atomicfile.MkdirAll(filepath.Dir(path), 0o700, atomicfile.Durable); err != nil {
		return err
	}
	return atomicfile.Write(path, text, 0o600, atomicfile.Durable)
}
