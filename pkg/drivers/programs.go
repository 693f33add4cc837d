package drivers

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"slices"
	"strings"
	"time"

	"reconciler.dev/reconciler/internal/atomicfile"
	"reconciler.dev/reconciler/internal/binstore"
	"reconciler.dev/reconciler/internal/layout"
	"reconciler.dev/reconciler/pkg/spec"
)

// programs puts daemons' programs where they run them, from the host's store of programs, tells when what runs isn't what shall run, and takes away what it put there. It never
// replaces a file that it didn't put there unless the step forces it, and never what can't be executed here.
type programs struct {
	driver Driver
	dirs   layout.Dirs
	store  *binstore.Store
	sound  soundness
}

func newPrograms(d Driver, dirs layout.Dirs) *programs {
	return &programs{driver: d, dirs: dirs, store: binstore.New(dirs), sound: soundness{known: map[soundKey]soundAnswer{}}}
}

// addDrift adds the drift of programs: of the file at its place, and of what runs.
func (p *programs) addDrift(found []spec.Observed) {
	look := newImages(p.store)
	Side(len(found), func(i int) {
		if o := &found[i]; o.Stamp != nil && o.State != spec.Unknown {
			o.Drift = append(slices.Clip(o.Drift), look.drift(o)...)
		}
	})
}

// check is the driver's, and refuses a program that is there and can't be executed here. One that is yet to be installed is checked by its step, before anything is stopped.
func (p *programs) check(ctx context.Context, d *spec.Daemon) ([]spec.Loss, error) {
	var lost []spec.Loss
	if c, ok := Find[Checker](p.driver); ok {
		var err error
		if lost, err = c.Check(ctx, d); err != nil {
			return nil, err
		}
	}
	if d.Spec.Install == nil {
		if found := p.sound.judge(d.Spec.Binary, "", &d.Spec); found != "" {
			return nil, fmt.Errorf("check daemon %s: spec.binary: %s: %s: %w", d.Name, d.Spec.Binary, found, ErrPermanent)
		}
	}
	return lost, nil
}

// settled takes away after a step what the daemon no longer needs. What was installed anywhere stays until it is uninstalled.
func (p *programs) settled(ctx context.Context, step spec.Step) {
	if settling(step.Verb) && p.store.Known(step.Name) {
		_ = p.settle(ctx, step.Name) // that it failed changes nothing about the daemon, and the next step tries again
	}
}

// settling tells whether after such a step another program may be the daemon's for good.
func settling(v spec.Verb) bool {
	return v == spec.VerbStart || v == spec.VerbStamp || v == spec.VerbRetire || v == spec.VerbAbandon
}

// kindOf gives errors of the store the kinds that callers of drivers act on.
func kindOf(err error) error {
	for _, k := range []struct{ is, kind error }{
		{binstore.ErrNotKept, ErrNotFound}, {binstore.ErrDamaged, ErrNotFound}, {binstore.ErrTaken, ErrConflict}, {binstore.ErrFull, ErrPermanent}, {fs.ErrPermission, ErrPermanent},
	} {
		if errors.Is(err, k.is) && !errors.Is(err, k.kind) {
			return fmt.Errorf("%w (%w)", err, k.kind)
		}
	}
	return err
}

// touchable says why nothing may be done about the program of what was found.
func touchable(step spec.Step, o spec.Observed) error {
	switch {
	case o.State == spec.Unknown:
		return fmt.Errorf("it can't be looked at: %s: %w", o.Message, ErrMoved)
	case o.Foreign != "":
		return fmt.Errorf("the name is taken by %s, which carries no stamp of ours: %w", o.Foreign, ErrConflict)
	}
	return CheckInstance(step, o)
}

// install checks the program and puts it at its place. What was there comes back where the daemon's user turns out not to be allowed to execute it.
func (p *programs) install(ctx context.Context, step spec.Step, o spec.Observed) error {
	return kindOf(p.put(ctx, step, o))
}

func (p *programs) put(ctx context.Context, step spec.Step, o spec.Observed) error {
	if err := touchable(step, o); err != nil {
		return err
	}
	if step.Want == nil || step.Want.Spec.Install == nil || step.Want.Spec.Install.Digest == "" {
		return fmt.Errorf("the step doesn't say which program: %w", ErrPermanent)
	}
	s := &step.Want.Spec
	place, err := placeOf(s)
	if err != nil {
		return err
	}
	content, err := p.store.Check(ctx, place.Digest)
	if errors.Is(err, binstore.ErrNotKept) {
		return fmt.Errorf("it isn't kept on this host any more (install.keep says how many are): apply its manifest again: %w", err)
	}
	if err != nil {
		return err
	}
	if found := p.sound.judge(content, s.Binary, s); found != "" {
		return fmt.Errorf("spec.install: %s: %s: %w", step.Want.Spec.Binary, found, ErrPermanent)
	}
	p.sweep(ctx)
	before, err := p.store.Record(step.Name)
	if err != nil {
		return err
	}
	if err := p.store.Install(ctx, step.Name, place, step.Force); err != nil {
		return err
	}
	if err := mayRun(s); err != nil {
		if before.Now != "" && before.Now != place.Digest && o.Stamp != nil {
			back, perr := placeOf(&o.Stamp.Spec)
			err = errors.Join(err, perr)
			if perr == nil {
				err = errors.Join(err, p.store.Install(ctx, step.Name, back, true))
			}
		}
		return err
	}
	return nil
}

// placeOf is where a spec wants its program.
func placeOf(s *spec.Spec) (binstore.Place, error) {
	in := s.Install
	if in == nil {
		return binstore.Place{}, fmt.Errorf("nothing is installed of it: %w", ErrNotFound)
	}
	place := binstore.Place{Digest: in.Digest, Path: s.Binary, Mode: 0o755, Owner: atomicfile.Whoever()}
	if in.Mode != nil {
		place.Mode = chmod(*in.Mode)
	}
	if in.Owner != "" {
		user, group, _ := strings.Cut(in.Owner, ":")
		owner, err := ownerOf(spec.Spec{User: user, Group: group})
		if err != nil {
			return place, fmt.Errorf("spec.install.owner: %w", err)
		}
		place.Owner = owner
	}
	return place, nil
}

// settle takes away what a daemon that runs as it is wanted doesn't need any more.
func (p *programs) settle(ctx context.Context, name string) error {
	lock, err := LockName(ctx, p.dirs, name)
	if err != nil {
		return err
	}
	defer lock.Release()
	o, err := observeOne(ctx, p.driver, name)
	if err != nil || o.Stamp == nil || o.Outgoing != nil {
		return err
	}
	in := o.Stamp.Spec.Install
	if in == nil {
		return p.store.Settle(ctx, name, "", "", 1)
	}
	// The one before stays in any case: an update that fails goes back to it.
	return p.store.Settle(ctx, name, in.Digest, o.Stamp.Spec.Binary, max(in.Keep, 1))
}

// uninstall takes away the program of a daemon that doesn't run.
func (p *programs) uninstall(ctx context.Context, step spec.Step, o spec.Observed) error {
	if err := touchable(step, o); err != nil {
		return err
	}
	if o.State != spec.Absent && o.State != spec.Exited {
		return fmt.Errorf("it runs: reconciler stop %s stops it first, and its program can go then: %w", step.Name, ErrConflict)
	}
	if o.State == spec.Absent && !p.store.Known(step.Name) {
		return fmt.Errorf("nothing is installed of it: %w", ErrNotFound)
	}
	_, err := p.store.Withdraw(ctx, step.Name, step.Force, false)
	if errors.Is(err, binstore.ErrTaken) {
		err = fmt.Errorf("%w; --force takes it away all the same", err)
	}
	return kindOf(err)
}

// clear lets go of the programs of a daemon that is removed.
func (p *programs) clear(ctx context.Context, step spec.Step) error {
	if !p.store.Known(step.Name) {
		return nil
	}
	p.sweep(ctx)
	return kindOf(p.store.Release(ctx, step.Name))
}

// sweep removes once in a while what nobody names. That it failed is told by Housekeep, where there is a run.
func (p *programs) sweep(ctx context.Context) {
	if p.sound.due(sweepEvery) {
		_ = p.store.Sweep(ctx, binstore.Youngest)
	}
}

// sweepEvery is how often what nobody names is looked for.
const sweepEvery = time.Hour

// housekeep is the driver's, and sweeps the programs that no daemon names.
func (p *programs) housekeep(ctx context.Context) (busy bool, err error) {
	if h, ok := Find[Housekeeper](p.driver); ok {
		busy, err = h.Housekeep(ctx)
	}
	if p.sound.due(sweepEvery) {
		err = errors.Join(err, p.store.Sweep(ctx, binstore.Youngest))
	}
	return busy, err
}
