package drivers

import (
	"context"

	"reconciler.dev/reconciler/internal/layout"
	"reconciler.dev/reconciler/pkg/spec"
)

// decorated is a driver with what all drivers share. It is one layer, so that a look is one look and a removal takes one lock, whatever there is to add to the one and to be taken away by
// the other.
type decorated struct {
	Driver
	dirs     layout.Dirs
	pauses   *pauses
	holds    *holds
	programs *programs
	files    *files
}

// Unwrap is for Find.
func (d *decorated) Unwrap() Driver { return d.Driver }

// Observe adds what the driver doesn't know: the drift of files and programs, what is held and what is paused.
func (d *decorated) Observe(ctx context.Context, names ...string) ([]spec.Observed, error) {
	found, err := d.Driver.Observe(ctx, names...)
	if err != nil {
		return nil, err
	}
	d.files.addDrift(found)
	d.programs.addDrift(found)
	d.holds.fill(found)
	d.pauses.fill(found)
	return found, nil
}

// Watch is the driver's, and also tells of daemons that were paused or held, or not any more, to whose processes nothing happens then; and of those whose config files or program somebody
// replaced.
func (d *decorated) Watch(ctx context.Context, changed func(name string)) error {
	return d.watchBeside(ctx, changed)
}

// Apply does the verbs that aren't for the driver; and before and after those that are, what belongs to them.
func (d *decorated) Apply(ctx context.Context, step spec.Step) error {
	switch step.Verb {
	case spec.VerbPause:
		return d.pauses.pause(ctx, step)
	case spec.VerbResume:
		return d.pauses.resume(ctx, step)
	case spec.VerbHold:
		return d.holds.hold(ctx, step)
	case spec.VerbRelease:
		return d.holds.release(ctx, step)
	case spec.VerbInstall:
		return d.onFound(ctx, step, "program of daemon", d.programs.install)
	case spec.VerbUninstall:
		return d.onFound(ctx, step, "program of daemon", d.programs.uninstall)
	case spec.VerbFiles:
		return d.onFound(ctx, step, "of daemon", d.files.write)
	case spec.VerbRemove:
		if err := d.onFound(ctx, step, "daemon", d.clear); err != nil {
			return err
		}
	}
	if err := d.Driver.Apply(ctx, step); err != nil {
		return err
	}
	d.programs.settled(ctx, step)
	switch step.Verb {
	case spec.VerbStop:
		return d.pauses.stopped(ctx, step)
	case spec.VerbStamp:
		return d.pauses.stamped(ctx, step)
	}
	return nil
}

// onFound runs do under the daemon's lock, with what is found then.
func (d *decorated) onFound(ctx context.Context, step spec.Step, what string, do func(context.Context, spec.Step, spec.Observed) error) error {
	return underLock(ctx, d.dirs, step, what, func() error {
		o, err := observeOne(ctx, d.Driver, step.Name)
		if err != nil {
			return err
		}
		return do(ctx, step, o)
	})
}

// clear takes away what there is of a daemon beside itself, where that may be removed. The pause and the hold go first: were they left behind by a crash, they would stop a daemon that is
// made later under the same name.
func (d *decorated) clear(ctx context.Context, step spec.Step, o spec.Observed) error {
	if !removable(step, o) {
		return nil
	}
	for _, book := range []*pauseBook{d.pauses.book, d.holds.book} {
		if err := book.set(ctx, step.Name, nil); err != nil {
			return err
		}
	}
	if err := d.programs.clear(ctx, step); err != nil {
		return err
	}
	return d.files.clear(step, o)
}

// Check is that of programs.
func (d *decorated) Check(ctx context.Context, want *spec.Daemon) ([]spec.Loss, error) {
	return d.programs.check(ctx, want)
}

// Housekeep is that of programs.
func (d *decorated) Housekeep(ctx context.Context) (busy bool, err error) {
	return d.programs.housekeep(ctx)
}
