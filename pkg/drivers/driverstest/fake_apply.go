package driverstest

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"reconciler.dev/reconciler/pkg/drivers"
	"reconciler.dev/reconciler/pkg/spec"
)

// Apply does one step on the simulated machine, under the name's lock.
func (f *Fake) Apply(ctx context.Context, step spec.Step) error {
	var before func(context.Context, spec.Step) error
	var after func(spec.Step, error)
	f.w.do(func() {
		f.w.calls = append(f.w.calls, step)
		before, after = f.w.before, f.w.after
	})
	err := f.apply(ctx, step, before)
	if after != nil {
		after(step, err)
	}
	if err != nil {
		return fmt.Errorf("%s daemon %s: %w", strings.ToLower(string(step.Verb)), step.Name, err)
	}
	return nil
}

func (f *Fake) apply(ctx context.Context, step spec.Step, before func(context.Context, spec.Step) error) error {
	unlock, err := f.lock(ctx, step.Name)
	if err != nil {
		return err
	}
	defer unlock()
	if before != nil {
		if err := before(ctx, step); err != nil {
			return err
		}
	}
	if err := f.reach(ctx); err != nil {
		return err
	}
	if step.Verb == spec.VerbStop {
		return f.stop(ctx, step)
	}
	f.w.do(func() { err = f.now(step) })
	return err
}

// lock takes the name's lock. It is a channel, so that waiting for it lets time pass in a synctest bubble.
func (f *Fake) lock(ctx context.Context, name string) (func(), error) {
	var l chan struct{}
	f.w.do(func() {
		if l = f.w.locks[name]; l == nil {
			l = make(chan struct{}, 1)
			f.w.locks[name] = l
		}
	})
	select {
	case l <- struct{}{}:
		return func() { <-l }, nil
	case <-ctx.Done():
		return nil, ctx.Err()
	}
}

// now does a step that takes no time. The machine is locked.
func (f *Fake) now(step spec.Step) error {
	if err := f.w.failure(step); err != nil {
		return err
	}
	if f.plain && slices.Contains([]spec.Verb{spec.VerbFiles, spec.VerbPause, spec.VerbResume, spec.VerbHold, spec.VerbRelease}, step.Verb) {
		return fmt.Errorf("that is for Decorate: %w", drivers.ErrUnsupported)
	}
	d := f.w.daemon(step.Name)
	if d.foreign != "" && step.Want != nil {
		return fmt.Errorf("the name is taken by %s, which carries no stamp: %w", d.foreign, drivers.ErrConflict)
	}
	defer f.w.touch(step.Name)
	switch step.Verb {
	case spec.VerbPause:
		if step.Instance != "" && d.stamp == nil {
			return fmt.Errorf("it was planned against instance %q and there is nothing: %w", step.Instance, drivers.ErrMoved)
		}
		if d.pause == nil {
			d.pause = &spec.Pause{At: time.Now(), By: step.By}
		}
	case spec.VerbResume:
		d.pause = nil
	case spec.VerbHold:
		if d.stamp == nil {
			return fmt.Errorf("there is nothing of that name: %w", drivers.ErrNotFound)
		}
		d.held = &spec.Pause{At: time.Now(), By: step.By}
	case spec.VerbRelease:
		d.held = nil
	case spec.VerbStart:
		return f.start(d, step)
	case spec.VerbStamp:
		return moved(d, step, func() error { d.stamp = drivers.NewStamp(step, d.stamp, time.Now()); return nil })
	case spec.VerbFiles:
		return moved(d, step, func() error { return f.w.writeFiles(d, step) })
	case spec.VerbReload:
		return f.reload(d, step)
	case spec.VerbRemove:
		return f.remove(d, step)
	default:
		return fmt.Errorf("unknown verb: %w", drivers.ErrUnsupported)
	}
	return nil
}

// moved runs do unless the step was planned against another instance.
func moved(d *daemon, step spec.Step, do func() error) error {
	have := ""
	if d.inst != nil {
		have = d.inst.ID
	}
	if have != step.Instance {
		return fmt.Errorf("it was planned against instance %q and there is %q: %w", step.Instance, have, drivers.ErrMoved)
	}
	return do()
}

func (f *Fake) start(d *daemon, step spec.Step) error {
	if d.run.alive() && d.inst.SpecDigest == step.Want.Digest && d.inst.Generation == step.Generation {
		return nil
	}
	return moved(d, step, func() error {
		if d.run.alive() {
			return fmt.Errorf("an instance with another spec is running: %w", drivers.ErrMoved)
		}
		if _, err := f.check(step.Want); err != nil {
			return err
		}
		b, err := f.w.behaviour(step.Want)
		if err != nil {
			return err
		}
		f.w.nextID++
		i := &spec.Instance{
			ID: fmt.Sprintf("%s-%d", step.Name, f.w.nextID), BootID: "fake", StartedAt: time.Now(),
			Generation: step.Generation, SpecDigest: step.Want.Digest, Attempts: step.Attempts,
		}
		i.LogStart = int64(len(f.w.files[logPath(step.Want)].Content))
		if d.inst != nil {
			i.Last, i.LastLogStart = d.inst.Exit, d.inst.LogStart
			if step.Restart {
				i.Restarts = d.inst.Restarts + 1
			}
		}
		d.stamp = drivers.NewStamp(step, d.stamp, time.Now())
		d.inst, d.run = i, &run{d: d, began: time.Now(), gone: make(chan struct{})}
		i.PID = d.run.spawn(f.w, step.Want, b).PID
		return nil
	})
}

func (f *Fake) reload(d *daemon, step spec.Step) error {
	return moved(d, step, func() error {
		if !d.run.alive() {
			return fmt.Errorf("there is no process to reload: %w", drivers.ErrMoved)
		}
		r := step.Want.Spec.Reload
		switch p := d.run.procs[0]; {
		case r == nil:
			return fmt.Errorf("the spec doesn't say how it reloads: %w", drivers.ErrPermanent)
		case r.Signal != "":
			p.signal(r.Signal)
		case p.b.Post != nil:
			p.b.Post(p, r.URL)
		}
		return nil
	})
}

func (f *Fake) remove(d *daemon, step spec.Step) error {
	if d.stamp == nil {
		d.pause, d.held = nil, nil
		f.w.removeFiles(d, nil)
		return nil
	}
	return moved(d, step, func() error {
		if d.run.alive() {
			return fmt.Errorf("it is running: stop it first: %w", drivers.ErrMoved)
		}
		f.w.removeFiles(d, nil)
		delete(f.w.daemons, d.name)
		return nil
	})
}

// stop asks the daemon to end, stage by stage, and returns when its whole tree has gone.
func (f *Fake) stop(ctx context.Context, step spec.Step) (err error) {
	var r *run
	f.w.do(func() {
		if err = f.w.failure(step); err != nil {
			return
		}
		d := f.w.daemon(step.Name)
		if !d.run.alive() {
			return
		}
		err = moved(d, step, func() error {
			r = d.run
			r.stopping, r.asked = true, true
			if step.Owner.TakenFrom != "" {
				s := *d.stamp
				s.Owner.TakenFrom = step.Owner.TakenFrom
				d.stamp = &s
			}
			f.w.touch(step.Name)
			return nil
		})
	})
	if err != nil || r == nil {
		return err
	}
	defer f.w.do(func() { r.stopping = false }) // nobody is at it any more, also where it was cut off
	signal := step.Stop.Signal
	if signal == "" {
		signal = "SIGTERM"
	}
	stages := []func(*Proc){func(p *Proc) { p.signal(signal) }, func(p *Proc) { p.signal("SIGKILL") }}
	if step.Stop.URL != "" {
		stages = slices.Insert(stages, 0, func(p *Proc) {
			if p.b.Post != nil {
				p.b.Post(p, step.Stop.URL)
			}
		})
	}
	for _, stage := range stages {
		f.w.do(func() {
			for _, p := range slices.Clone(r.procs) {
				stage(p)
			}
		})
		err := r.wait(ctx, step.Stop.GracePeriod.D())
		if err == nil || ctx.Err() != nil {
			return err
		}
	}
	return errors.New("a process outlived SIGKILL")
}

// wait returns nil when the tree has gone, which is looked at before the time is up.
func (r *run) wait(ctx context.Context, d time.Duration) error {
	select {
	case <-r.gone:
		return nil
	default:
	}
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-r.gone:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	case <-t.C:
		return errors.New("it didn't end in time")
	}
}
