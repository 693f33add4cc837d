package systemd

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"

	sd "github.com/coreos/go-systemd/v22/dbus"
	"github.com/godbus/dbus/v5"

	"reconciler.dev/reconciler/pkg/drivers"
	"reconciler.dev/reconciler/pkg/spec"
)

// finding is what is true of one daemon.
type finding struct {
	name string
	// unit is the unit that carries its stamp, or would.
	unit string
	// file is the unit file, or what vouches for one that is gone; its stamp is nil where nothing is ours.
	file *unitFile
	// lost says what became of the unit file that file vouches for: it is masked, or removed.
	lost string
	note *note
	// loaded is what the manager says of the unit.
	loaded states
	state  spec.State
	// restarting says that the manager is about to start it again.
	restarting bool
	inst       *spec.Instance
	foreign    string
	problem    error
}

// ours tells whether there is anything of ours.
func (f *finding) ours() bool { return f.file != nil && f.file.stamp != nil }

// stamp is nil where nothing is ours.
func (f *finding) stamp() *spec.Stamp {
	if f.file == nil {
		return nil
	}
	return f.file.stamp
}

// alive tells whether a process of it runs, or is on its way.
func (f *finding) alive() bool {
	return f.state == spec.Running || f.state == spec.Starting || f.state == spec.Stopping
}

// observed is what step preconditions are checked against.
func (f *finding) observed() spec.Observed { return spec.Observed{Name: f.name, Instance: f.inst} }

// Observe looks at each name: one call for all of them, and one more for each unit of which the manager knows more than our note says. It changes nothing
// but notes.
func (d *Driver) Observe(ctx context.Context, names ...string) ([]spec.Observed, error) {
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	out := make([]spec.Observed, len(names))
	if len(names) == 0 {
		return out, nil
	}
	finds, err := d.find(ctx, false, names...)
	if err != nil {
		return nil, err
	}
	around := d.lookAround(len(names))
	for i, f := range finds {
		out[i] = d.report(ctx, f, around)
	}
	return out, ctx.Err()
}

// find finds out what is true of daemons. locked says that the caller holds the lock of each.
func (d *Driver) find(ctx context.Context, locked bool, names ...string) ([]*finding, error) {
	finds, err := d.locate(names)
	if err != nil {
		return nil, fmt.Errorf("look at unit files: %w", err)
	}
	return d.inform(ctx, locked, finds)
}

// inform adds to what the unit files say what the manager does.
func (d *Driver) inform(ctx context.Context, locked bool, finds []*finding) ([]*finding, error) {
	l, err := d.bus.get(ctx)
	if err == nil {
		err = d.list(ctx, l, finds)
	}
	switch {
	case ctx.Err() != nil:
		return nil, ctx.Err()
	case err != nil:
		for _, f := range finds {
			f.unreachable(err)
		}
		return finds, nil
	}
	for _, f := range finds {
		if err := d.complete(ctx, l, f, locked); err != nil {
			f.state, f.problem = spec.Unknown, err
		}
	}
	return finds, ctx.Err()
}

// unreachable is what is known where the manager doesn't answer: what carries our stamp is Unknown, and of nothing there is nothing to ask.
func (f *finding) unreachable(err error) {
	f.state = spec.Absent
	if f.ours() || f.note != nil || f.file.err != nil {
		f.state, f.problem = spec.Unknown, err
	}
}

// locate finds the unit file of each daemon: that of its own name, or any that carries its stamp.
func (d *Driver) locate(names []string) ([]*finding, error) {
	finds := make([]*finding, len(names))
	var all map[string]*unitFile // by the daemon's name; read once it is needed
	for i, name := range names {
		f := d.locateNear(name, "")
		if finds[i] = f; f.ours() || f.file.err != nil {
			continue
		}
		if all == nil {
			var err error
			if all, err = d.byName(); err != nil {
				return nil, err
			}
		}
		switch other := all[name]; {
		case other != nil:
			f.unit, f.file = other.unit, other
		case f.note != nil:
			if v := d.vouched(name, f.note); v != nil {
				f.lost = "removed"
				if d.units.read(f.note.Unit).masked {
					f.lost = "masked"
				}
				f.unit, f.file = f.note.Unit, v
			}
		}
	}
	return finds, nil
}

// locateNear looks for the unit file of a daemon in the places where it may be expected: under the daemon's name, where it was last, and in one more.
func (d *Driver) locateNear(name, also string) *finding {
	f := &finding{name: name, unit: name + ".service", note: d.notes.read(name)}
	own := d.units.read(f.unit)
	if own.stamp != nil && own.stamp.Name != name { // another daemon's
		own = &unitFile{unit: f.unit, text: own.text}
	}
	if f.file = own; f.ours() || own.err != nil {
		return f
	}
	places := []string{also}
	if f.note != nil {
		places = append(places, f.note.Unit)
	}
	for _, unit := range places {
		if unit == "" || unit == f.unit {
			continue
		}
		if other := d.units.read(unit); other.stamp != nil && other.stamp.Name == name {
			f.unit, f.file = unit, other
			return f
		}
	}
	return f
}

// byName are the unit files that carry our stamp, by the daemon's name.
func (d *Driver) byName() (map[string]*unitFile, error) {
	found, err := d.units.scan()
	if err != nil {
		return nil, err
	}
	all := make(map[string]*unitFile, len(found))
	for _, f := range found {
		if f.stamp != nil {
			all[f.stamp.Name] = f
		}
	}
	return all, nil
}

// vouched returns the unit file as we wrote it of a daemon whose own is masked, or gone while the instance that we noted runs; nil where nothing says that it is ours.
func (d *Driver) vouched(name string, n *note) *unitFile {
	f := d.units.read(n.Unit)
	switch {
	case f.masked:
	case f.there() || n.Instance == nil || n.Instance.Exit != nil || d.invocation(n.Unit) != n.Instance.ID:
		return nil
	}
	text := d.notes.kept(name)
	stamp, err := ParseStamp(text)
	if err != nil || stamp == nil || stamp.Name != name {
		return nil
	}
	return &unitFile{unit: n.Unit, text: text, stamp: stamp, intact: true}
}

// invocation is the id of the invocation of a unit that runs, empty where it doesn't.
func (d *Driver) invocation(unit string) string {
	id, err := os.Readlink(filepath.Join(d.scope.exported, "invocation:"+unit))
	if err != nil {
		return ""
	}
	return id
}

// list asks the manager for the states of units: all that are loaded in one call, or few one by one. It asks for what is loaded only: to be asked for more than that has the manager
// load it, and tell everybody so. A unit that isn't loaded has no states.
func (d *Driver) list(ctx context.Context, l *link, finds []*finding) error {
	if len(finds) <= few {
		for _, f := range finds {
			var err error
			if f.loaded, err = l.states(ctx, f.unit); err != nil {
				return fmt.Errorf("look at unit %s: %w", f.unit, err)
			}
		}
		return nil
	}
	var found []sd.UnitStatus
	if err := l.call(ctx, "ListUnits").Store(&found); err != nil {
		return fmt.Errorf("list units: %w", err)
	}
	byName := make(map[string]*sd.UnitStatus, len(found))
	for i := range found {
		byName[found[i].Name] = &found[i]
	}
	for _, f := range finds {
		if u := byName[f.unit]; u != nil {
			f.loaded = states{u.LoadState, u.ActiveState, u.SubState}
		}
	}
	return nil
}

// states are those of a loaded unit: see systemctl(1), list-units.
type states struct{ load, active, sub string }

// states asks for those of one unit.
func (l *link) states(ctx context.Context, unit string) (s states, err error) {
	if loaded, err := l.isLoaded(ctx, unit); err != nil || !loaded {
		return s, err
	}
	f, err := l.get(ctx, unit, map[string][]string{unitInterface: {"LoadState", "ActiveState", "SubState"}})
	return states{f.Load, f.Active, f.Sub}, err
}

// isLoaded tells whether the manager has a unit in memory.
func (l *link) isLoaded(ctx context.Context, unit string) (bool, error) {
	var path dbus.ObjectPath
	switch err := l.call(ctx, "GetUnit", unit).Store(&path); {
	case said(err, "NoSuchUnit"):
		return false, nil
	default:
		return err == nil, err
	}
}

// complete works out state and instance.
func (d *Driver) complete(ctx context.Context, l *link, f *finding, locked bool) error {
	if !f.ours() {
		f.state = spec.Absent
		if f.file.err != nil {
			return fmt.Errorf("read unit file %s: %w", d.scope.file(f.unit), f.file.err)
		}
		d.lookForOthers(f)
		return nil
	}
	f.state, f.restarting = stateOf(f.loaded.active, f.loaded.sub)
	next, err := d.lookAtInstance(ctx, l, f)
	if err != nil {
		return err
	}
	if next != nil {
		f.note = next
		d.write(f.name, next, locked)
	}
	if f.note != nil {
		f.inst = f.note.Instance
	}
	return nil
}

// write writes a note; where the caller hasn't the lock, only if nobody else has it. What isn't written is found out again by whoever looks next.
func (d *Driver) write(name string, next *note, locked bool) {
	if !locked {
		lock := d.tryLock(name)
		if lock == nil {
			return
		}
		defer lock.Release()
	}
	_ = d.notes.write(name, *next)
}

// lookForOthers finds out what stands in the place of a daemon that isn't there.
func (d *Driver) lookForOthers(f *finding) {
	path := d.scope.file(f.unit)
	switch {
	case f.file.masked:
		f.foreign = path + ", which masks the unit"
	case f.file.there():
		f.foreign = path
	case d.elsewhere(f.unit) != "":
		f.foreign = d.elsewhere(f.unit)
	case f.loaded.active != "" && f.loaded.active != "inactive" && f.loaded.active != "failed":
		f.foreign = "the unit " + f.unit + ", which runs and has no file"
	}
}

// elsewhere is the file of a unit in another directory than that of ours, empty where there is none.
func (d *Driver) elsewhere(unit string) string {
	for _, dir := range d.scope.dirs() {
		path := filepath.Join(dir, unit)
		if _, err := os.Lstat(path); dir != d.scope.units && err == nil {
			return path
		}
	}
	return ""
}

const (
	unitInterface    = "org.freedesktop.systemd1.Unit"
	serviceInterface = "org.freedesktop.systemd1.Service"
)

// stateOf is what a unit's states come to. A service that the manager is about to start again has ended meanwhile.
func stateOf(active, sub string) (s spec.State, restarting bool) {
	switch {
	case strings.HasPrefix(sub, "auto-restart"):
		return spec.Exited, true
	case active == "active" || active == "reloading" || active == "refreshing":
		return spec.Running, false
	case active == "activating":
		return spec.Starting, false
	case active == "deactivating":
		return spec.Stopping, false
	default:
		return spec.Exited, false
	}
}

// report makes an Observed of a finding.
func (d *Driver) report(ctx context.Context, f *finding, a *around) spec.Observed {
	o := spec.Observed{Name: f.name, State: f.state, Driver: spec.DriverSystemd, Foreign: f.foreign, Restarting: f.restarting, Stamp: f.stamp()}
	if f.problem != nil {
		o.Message = f.problem.Error()
	}
	if !f.ours() || f.state == spec.Unknown {
		return o
	}
	if f.inst != nil {
		o.Instance = timed(f.inst, f.note.Ended, d.boot)
	}
	d.readCgroup(ctx, f, &o)
	o.Drift = append(d.drift(f, a), o.Drift...)
	return o
}

// findOne looks at one daemon whose lock the caller holds. What can't be found out is an error.
func (d *Driver) findOne(ctx context.Context, name string) (*finding, *link, error) {
	finds, err := d.locate([]string{name})
	if err != nil {
		return nil, nil, fmt.Errorf("look at unit files: %w", err)
	}
	return d.know(ctx, finds[0])
}

// findForStart is findOne for the start of a daemon. One that the plan knows nothing of can't have the unit of another name, which all files would have to be read for.
func (d *Driver) findForStart(ctx context.Context, step spec.Step) (*finding, *link, error) {
	if step.Instance != "" || step.Generation > 1 {
		return d.findOne(ctx, step.Name)
	}
	return d.know(ctx, d.locateNear(step.Name, spec.UnitName(step.Want.Name, step.Want.Spec.Cgroup)))
}

// know completes a finding of a daemon whose lock the caller holds.
func (d *Driver) know(ctx context.Context, f *finding) (*finding, *link, error) {
	if _, err := d.inform(ctx, true, []*finding{f}); err != nil {
		return nil, nil, err
	}
	if f.problem != nil {
		return nil, nil, f.problem
	}
	l, err := d.bus.get(ctx)
	if err != nil {
		return nil, nil, err
	}
	return f, l, nil
}

// PIDs returns all processes of the daemon's cgroup.
func (d *Driver) PIDs(ctx context.Context, name string) ([]int, error) {
	f, _, err := d.findOne(ctx, name)
	if errors.Is(err, drivers.ErrNotFound) || err == nil && !f.ours() {
		return nil, nil
	}
	if err != nil {
		return nil, fmt.Errorf("list the processes of daemon %s: %w", name, err)
	}
	pids, err := d.processes(ctx, f)
	if err != nil {
		return nil, fmt.Errorf("list the processes of daemon %s: %w", name, err)
	}
	return pids, nil
}
