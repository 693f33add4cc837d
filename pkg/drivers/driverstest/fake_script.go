package driverstest

import (
	"context"
	"fmt"
	"slices"

	"reconciler.dev/reconciler/pkg/drivers"
	"reconciler.dev/reconciler/pkg/spec"
)

// Behave says what the daemon of that name does from its next start on.
func (f *Fake) Behave(name string, b Behaviour) {
	f.w.do(func() { f.w.behaviours[name] = b })
}

// Crash ends every process of the daemon as how says, as if by itself. It panics where none is running.
func (f *Fake) Crash(name string, how spec.Exit) {
	f.w.do(func() {
		r := f.w.daemon(name).run
		if !r.alive() {
			panic("driverstest: crash of " + name + ", which isn't running")
		}
		for _, p := range slices.Clone(r.procs) {
			p.end(how)
		}
	})
}

// Fail makes the next Apply of verb to name return err instead of doing anything; several are returned one after the other.
func (f *Fake) Fail(verb spec.Verb, name string, errs ...error) {
	f.w.do(func() {
		key := string(verb) + " " + name
		f.w.failures[key] = append(f.w.failures[key], errs...)
	})
}

// FailAlways makes every further Apply of verb to name return err; nil ends that and any Fail.
func (f *Fake) FailAlways(verb spec.Verb, name string, err error) {
	f.w.do(func() {
		key := string(verb) + " " + name
		delete(f.w.failures, key)
		if err != nil {
			f.w.failures[key] = []error{err, nil}
		}
	})
}

// failure is what the test scripted for this step: a list that ends in nil repeats its first for ever.
func (w *world) failure(step spec.Step) error {
	key := string(step.Verb) + " " + step.Name
	errs := w.failures[key]
	if len(errs) == 0 {
		return nil
	}
	if len(errs) != 2 || errs[1] != nil {
		w.failures[key] = errs[1:]
	}
	return errs[0]
}

// Unreachable makes everything fail as if the host didn't answer; why is empty to make it answer again.
func (f *Fake) Unreachable(why string) {
	f.w.do(func() {
		f.w.unreachable = nil
		if why != "" {
			f.w.unreachable = fmt.Errorf("%s: %w", why, drivers.ErrUnreachable)
		}
	})
}

// Unknown makes Observe unable to look at name; why is empty to end that.
func (f *Fake) Unknown(name, why string) {
	f.w.do(func() {
		delete(f.w.unknown, name)
		if why != "" {
			f.w.unknown[name] = why
		}
		f.w.touch(name)
	})
}

// Foreign puts something without our stamp in the place of name; empty takes it away.
func (f *Fake) Foreign(name, what string) {
	f.w.do(func() {
		f.w.daemon(name).foreign = what
		f.w.touch(name)
	})
}

// Drift makes Observe report drift of name beside that of its files, until it is called again.
func (f *Fake) Drift(name string, d ...spec.Drift) {
	f.w.do(func() {
		f.w.daemon(name).drift = d
		f.w.touch(name)
	})
}

// WriteFile writes a file of the simulated machine behind the driver's back and tells the watchers of every daemon that owns it.
func (f *Fake) WriteFile(path string, file File) {
	f.w.do(func() {
		f.w.files[path] = file
		f.w.touchOwners(path)
	})
}

// RemoveFile removes a file of the simulated machine behind the driver's back.
func (f *Fake) RemoveFile(path string) {
	f.w.do(func() {
		delete(f.w.files, path)
		f.w.touchOwners(path)
	})
}

func (w *world) touchOwners(path string) {
	for name, d := range w.daemons {
		if _, ok := d.owned[path]; ok {
			w.touch(name)
		}
	}
}

// File returns a file of the simulated machine.
func (f *Fake) File(path string) (file File, ok bool) {
	f.w.do(func() { file, ok = f.w.files[path] })
	return file, ok
}

// Missed tells the watchers that something may have been missed.
func (f *Fake) Missed() { f.w.do(func() { f.w.dirty = append(f.w.dirty, "") }) }

// BreakWatches makes every Watch return err.
func (f *Fake) BreakWatches(err error) {
	f.w.do(func() {
		for _, x := range f.w.watchers {
			select {
			case x.broken <- err:
			default:
			}
		}
	})
}

// Before sets what runs in every Apply, under the name's lock, before anything is done; an error is returned instead of doing the step.
func (f *Fake) Before(hook func(context.Context, spec.Step) error) {
	f.w.do(func() { f.w.before = hook })
}

// After sets what runs at the end of every Apply, with the error it returns.
func (f *Fake) After(hook func(spec.Step, error)) { f.w.do(func() { f.w.after = hook }) }

// Calls returns every step that Apply was asked for, in order, also those that failed.
func (f *Fake) Calls() (steps []spec.Step) {
	f.w.do(func() { steps = slices.Clone(f.w.calls) })
	return steps
}

// Count returns how often Apply was asked for verb; name empty: of any name.
func (f *Fake) Count(verb spec.Verb, name string) (n int) {
	for _, s := range f.Calls() {
		if s.Verb == verb && (name == "" || s.Name == name) {
			n++
		}
	}
	return n
}

// Observes returns how often Observe was called.
func (f *Fake) Observes() (n int) {
	f.w.do(func() { n = f.w.observes })
	return n
}

// Forget makes Calls and Observes begin anew.
func (f *Fake) Forget() { f.w.do(func() { f.w.calls, f.w.observes = nil, 0 }) }

// Alive returns how many processes of name are running.
func (f *Fake) Alive(name string) (n int) {
	f.w.do(func() {
		if r := f.w.daemon(name).run; r != nil {
			n = len(r.procs)
		}
	})
	return n
}
