package systemd

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"path/filepath"
	"slices"
	"strings"
	"time"

	sd "github.com/coreos/go-systemd/v22/dbus"

	"reconciler.dev/reconciler/pkg/drivers"
	"reconciler.dev/reconciler/pkg/spec"
)

// stamp writes the stamp, puts right what somebody changed of the unit, and has the manager apply what it can without touching the process: limits at once, anything else by reading
// its units again, once for all who need it.
func (d *Driver) stamp(ctx context.Context, step spec.Step) error {
	f, l, err := d.findOne(ctx, step.Name)
	if err != nil {
		return err
	}
	if err := drivers.CheckInstance(step, f.observed()); err != nil {
		return err
	}
	unit := f.unit
	if !f.ours() {
		if unit, err = d.place(f, step.Want); err != nil {
			return err
		}
	}
	p, err := d.render(ctx, step.Want, drivers.NewStamp(step, f.stamp(), time.Now()))
	if err != nil {
		return err
	}
	ours := f.noted().Control
	mended, err := d.mend(unit, ours)
	if err != nil {
		return err
	}
	onlyLimits, mtime := f.ours() && SameButLimits(f.file.text, p.text), f.file.id.mtime
	if err := d.put(ctx, f, unit, p); err != nil {
		return err
	}
	for _, s := range p.sockets {
		if err := d.reread(ctx, l, s.Name); err != nil {
			return err
		}
	}
	if f.loaded.active == "inactive" || f.loaded.active == "" {
		return nil // what the manager has of it, it reads again before the next start
	}
	if onlyLimits && !mended && f.file.intact && f.lost == "" {
		if err := retime(d.scope.file(unit), mtime); err != nil {
			return err
		}
	} else if err := d.reread(ctx, l, unit); err != nil {
		return err
	}
	return d.setLimits(ctx, l, f, unit, p)
}

// mend removes what goes over the settings of a unit, less what the manager keeps at our word, and what masks it.
func (d *Driver) mend(unit, ours string) (bool, error) {
	a := &around{s: &d.scope}
	over := a.dropIns(unit, ours)
	if len(over) == 0 {
		for _, dir := range d.scope.editable() {
			if dir != d.scope.units && masked(filepath.Join(dir, unit)) {
				return true, d.clearDropIns(unit)
			}
		}
		return false, nil
	}
	return true, d.clearDropIns(unit)
}

// setLimits has the manager apply the limits to the unit that runs, where it hasn't these already.
func (d *Driver) setLimits(ctx context.Context, l *link, f *finding, unit string, p *plan) error {
	if !f.alive() || p.limits == limitsOf(f.stamp().Spec.Cgroup) && len(d.limitDrift(ctx, f)) == 0 {
		return nil
	}
	properties := p.limits.Properties()
	slices.SortFunc(properties, func(a, b sd.Property) int { return strings.Compare(a.Name, b.Name) }) // in another order systemd takes its own drop-ins for changed, and wants a reload
	if err := l.call(ctx, "SetUnitProperties", unit, true, properties).Store(); err != nil {
		return fmt.Errorf("set the limits of unit %s: %w", unit, err)
	}
	next := f.noted()
	next.Control = digestDir(filepath.Join(d.scope.control(), unit+".d"))
	return d.notes.write(f.name, next)
}

// limitDrift are the limits that the kernel has otherwise than the stamp says.
func (d *Driver) limitDrift(ctx context.Context, f *finding) []spec.Drift {
	o := spec.Observed{Stamp: f.stamp()}
	d.readCgroup(ctx, f, &o)
	return o.Drift
}

// restamp writes another stamp into the unit file and changes nothing else of it.
func (d *Driver) restamp(f *finding, s *spec.Stamp) error {
	settings, _, _ := split(f.file.text)
	text, err := seal(settings, s)
	if err != nil {
		return err
	}
	if !f.file.intact { // what somebody edited stays seen as that
		text = bytes.Replace(text, []byte(keyDigest+digest(settings)), []byte(keyDigest), 1)
	}
	if err := d.writeUnit(f, f.unit, text); err != nil {
		return err
	}
	f.file = d.units.read(f.unit)
	return f.file.err
}

// stopOtherwise lets a unit be stopped in another way than its file says, where more is to change than that it goes faster: the file says so until it has stopped.
func (d *Driver) stopOtherwise(ctx context.Context, l *link, f *finding, loaded, how spec.Stop) (restore func(), err error) {
	slower := how.GracePeriod > loaded.GracePeriod
	if how.Signal == loaded.Signal && how.URL == loaded.URL && !slower || how.Signal == "SIGKILL" {
		return func() {}, nil
	}
	facts, err := d.facts(ctx)
	if err != nil {
		return nil, err
	}
	before := f.file.text
	settings, _, _ := split(before)
	settings, err = withStop(settings, how, facts)
	if err != nil {
		return nil, err
	}
	text, err := seal(settings, f.stamp())
	if err == nil {
		err = d.writeUnit(f, f.unit, text)
	}
	if err == nil {
		err = d.reread(ctx, l, f.unit)
	}
	if err != nil {
		return nil, err
	}
	return func() { _ = d.writeUnit(f, f.unit, before) }, nil // the next start writes it in any case
}

// withStop returns the settings of a unit with another way to stop it.
func withStop(settings []byte, how spec.Stop, f Facts) ([]byte, error) {
	r := &renderer{d: &spec.Daemon{Spec: spec.Spec{Stop: how, Restart: spec.Restart{Policy: spec.RestartNever}}}, facts: f}
	r.section("Service")
	r.ending()
	if err := errors.Join(r.problems...); err != nil {
		return nil, err
	}
	ours := []string{"ExecStop", "KillSignal", "TimeoutStopSec"}
	var stop bytes.Buffer
	for _, s := range read([]byte(r.text.String())) {
		if slices.Contains(ours, s.key) {
			stop.WriteString(s.key + "=" + s.value + "\n")
		}
	}
	var out bytes.Buffer
	for line := range bytes.Lines(settings) {
		key, _, _ := strings.Cut(string(line), "=")
		if slices.Contains(ours, key) {
			continue
		}
		out.Write(line)
		if string(line) == "[Service]\n" {
			out.Write(stop.Bytes())
		}
	}
	return out.Bytes(), nil
}
