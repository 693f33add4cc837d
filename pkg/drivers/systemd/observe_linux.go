package systemd

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"reflect"
	"strings"

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
	// sockets are the states of the units of its sockets.
	sockets map[string]states
	// loaded is what the manager says of the unit; unasked says that it wasn't asked, because there is nothing of it.
	loaded  states
	unasked bool
	state   spec.State
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
	finds, err := d.find(ctx, names...)
	if err != nil {
		return nil, err
	}
	around := d.lookAround(len(names))
	drivers.Side(len(finds), func(i int) { out[i] = d.report(ctx, finds[i], around) })
	return out, ctx.Err()
}

// find finds out what is true of daemons. Of many at once the manager is asked while their files are read.
func (d *Driver) find(ctx context.Context, names ...string) ([]*finding, error) {
	ask := func() (*link, func(unit string) states, error) { return nil, nil, nil }
	if len(names) > few {
		ask = d.askAhead(ctx)
	}
	finds, err := d.locate(names)
	if err != nil {
		return nil, fmt.Errorf("look at unit files: %w", err)
	}
	l, statesOf, err := ask()
	if len(names) <= few {
		l, statesOf, err = d.askEach(ctx, finds)
	}
	return d.inform(ctx, l, statesOf, err, false, finds)
}

// inform adds to what the unit files say what the manager said, or why it said nothing. locked says that the caller holds the lock of each daemon.
func (d *Driver) inform(ctx context.Context, l *link, statesOf func(string) states, err error, locked bool, finds []*finding) ([]*finding, error) {
	switch {
	case ctx.Err() != nil:
		return nil, ctx.Err()
	case err != nil:
		for _, f := range finds {
			f.unreachable(err)
		}
		return finds, nil
	}
	drivers.Side(len(finds), func(i int) {
		f := finds[i]
		f.loaded = statesOf(f.unit)
		f.lookAtSockets(statesOf)
		if err := d.complete(ctx, l, f, locked); err != nil {
			f.state, f.problem = spec.Unknown, err
		}
	})
	return finds, ctx.Err()
}

// lookAtSockets takes over the states of the units of its sockets.
func (f *finding) lookAtSockets(statesOf func(string) states) {
	if !f.ours() || len(f.stamp().Spec.Listen) == 0 {
		return
	}
	f.sockets = map[string]states{}
	for _, unit := range socketUnits(f.stamp()) {
		f.sockets[unit] = statesOf(unit)
	}
}

// unreachable is what is known where the manager doesn't answer: what carries our stamp is Unknown, and of nothing there is nothing to ask.
func (f *finding) unreachable(err error) {
	f.state = spec.Absent
	if f.ours() || f.note != nil || f.file.err != nil {
		f.state, f.problem = spec.Unknown, err
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
	for range 2 {
		f.state, f.restarting = stateOf(f.loaded.active, f.loaded.sub)
		next, err := d.lookAtInstance(ctx, l, f)
		if err != nil {
			return err
		}
		if next != nil {
			f.note = d.write(f.name, f.note, next, locked)
		}
		f.inst = f.noted().Instance
		if f.inst == nil || f.alive() == (f.inst.Exit == nil) {
			return nil
		}
		// Somebody has noted what happened since the manager was asked.
		if f.loaded, err = l.states(ctx, f.unit); err != nil {
			return err
		}
	}
	f.state = spec.Exited
	if f.inst.Exit == nil {
		f.state = spec.Running
	}
	return nil
}

// write writes the note that follows from one that was read, and returns what is noted then. Where the caller hasn't the lock it does so only if nobody else has it, or has noted
// something since. What isn't written is found out again by whoever looks next.
func (d *Driver) write(name string, was, next *note, locked bool) *note {
	if !locked {
		lock := d.tryLock(name)
		if lock == nil {
			return next
		}
		defer lock.Release()
		if now := d.notes.read(name); !reflect.DeepEqual(now, was) {
			return now
		}
	}
	_ = d.notes.write(name, *next)
	return next
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
	case d.invocation(f.unit) != "":
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
	if f.inst != nil && f.alive() {
		o.Drift = append(o.Drift, f.inst.Pending...)
	}
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
	f := d.locateNear(step.Name, spec.UnitName(step.Want.Name, step.Want.Spec.Cgroup))
	if f.note != nil || f.file.there() || d.invocation(f.unit) != "" {
		return d.know(ctx, f)
	}
	f.state, f.unasked = spec.Absent, true
	d.lookForOthers(f)
	l, err := d.bus.get(ctx)
	return f, l, err
}

// know completes a finding of a daemon whose lock the caller holds.
func (d *Driver) know(ctx context.Context, f *finding) (*finding, *link, error) {
	finds := []*finding{f}
	l, statesOf, err := d.askEach(ctx, finds)
	if _, err := d.inform(ctx, l, statesOf, err, true, finds); err != nil {
		return nil, nil, err
	}
	if f.problem != nil {
		return nil, nil, f.problem
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
