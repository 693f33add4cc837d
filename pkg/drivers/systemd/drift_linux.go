package systemd

import (
	"path/filepath"
	"time"

	"reconciler.dev/reconciler/pkg/drivers"
	"reconciler.dev/reconciler/pkg/spec"
)

// drift is what somebody changed of a daemon's unit. What came after the process was started didn't reach it, and is mended without touching it.
func (d *Driver) drift(f *finding, a *around) (all []spec.Drift) {
	add := func(field, want, have string, since time.Time) {
		class := spec.Live
		if f.alive() && f.inst != nil && f.inst.ID != f.noted().Began && since.Before(f.inst.StartedAt) {
			class = spec.Restarted
		}
		all = append(all, spec.Drift{Field: field, Want: want, Have: have, Class: class})
	}
	now := time.Now()
	path := d.scope.file(f.unit)
	switch {
	case f.lost != "":
		add("unit.file", path, f.lost, now)
	case !f.file.intact:
		edited := time.Unix(0, f.file.id.ctime)
		kept := d.notes.kept(f.name)
		if kept == nil {
			add("unit.file", "as it was written", path+" was edited", edited)
			break
		}
		if Same(kept, f.file.text) {
			add("unit.file", "as it was written", path+" was edited, in what makes no difference", now)
		}
		for _, c := range Changes(kept, f.file.text) {
			if c.Class == spec.Live {
				edited = now
			}
			add(c.Field, c.Want, c.Have, edited)
		}
	}
	if !a.has(d.scope.wants, f.unit) {
		add(drivers.DriftAtBoot, "enabled", "disabled: it would not start at boot", now)
	}
	for _, in := range a.dropIns(f.unit, f.noted().Control) {
		add("unit.dropIn", "none", in.path, in.since)
	}
	for _, dir := range []string{d.scope.below[1], d.scope.above[0], d.scope.above[1]} {
		if a.has(dir, f.unit) && masked(filepath.Join(dir, f.unit)) {
			add("unit.masked", "not masked", filepath.Join(dir, f.unit), now)
		}
	}
	if f.stoppedByHand() {
		add(drivers.DriftStopped, "active", "stopped by hand, with systemctl or by another program", now)
	}
	return append(all, d.socketDrift(f, a)...)
}

// noted is the note, an empty one where there is none.
func (f *finding) noted() note {
	if f.note == nil {
		return note{}
	}
	return *f.note
}

// stoppedByHand tells whether somebody else stopped the unit: the manager starts a daemon with this policy again whatever it ended of, unless it is told to stop it.
func (f *finding) stoppedByHand() bool {
	i := f.inst
	return f.state == spec.Exited && !f.restarting && f.loaded.active != "failed" &&
		i != nil && i.Exit != nil && !i.Exit.Asked && f.stamp().Spec.Restart.Policy == spec.RestartAlways
}
