package reconcile

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"reconciler.dev/reconciler/pkg/drivers"
	"reconciler.dev/reconciler/pkg/spec"
)

// Engine makes daemons of one host what they shall be. Its methods may be called concurrently.
type Engine struct {
	host drivers.Host
	opt  Options
	busy chan struct{} // one token for each daemon that is being worked on

	reporting sync.Mutex
	sending   sync.Map              // digests of programs to chan struct{}, which holds a token while one is sent
	running   atomic.Pointer[Queue] // of the Run that there was last
}

// busiest is how many daemons are worked on at once: enough for the machine's cores and disks, and few enough that what blocks in the kernel doesn't cost
// hundreds of threads. Waiting for daemons to end isn't work.
const busiest = 16

// New returns an engine for host. It does nothing by itself.
func New(host drivers.Host, o Options) *Engine {
	return &Engine{host: host, opt: o, busy: make(chan struct{}, cmp.Or(o.Concurrency, busiest))}
}

// ErrTimeout marks what didn't get where it should in its time.
var ErrTimeout = errors.New("timed out")

func (e *Engine) report(name, phase, message string) {
	if e.opt.Report == nil {
		return
	}
	e.reporting.Lock()
	defer e.reporting.Unlock()
	e.opt.Report(Progress{Name: name, Phase: phase, Message: message})
}

// observe looks at names with every driver of the host, in one call each and side by side, and returns one Observed for each name in their order. Of a daemon that two drivers have,
// which only somebody else can have brought about, it is the lesser driver's: a plan then removes that one first.
func (e *Engine) observe(ctx context.Context, names ...string) ([]spec.Observed, error) {
	merged := make([]spec.Observed, len(names))
	for i, n := range names {
		merged[i] = spec.Observed{Name: n, State: spec.Absent}
	}
	if len(names) == 0 {
		return merged, nil
	}
	all := e.host.Drivers()
	finds, errs := make([][]spec.Observed, len(all)), make([]error, len(all))
	var wg sync.WaitGroup
	for i, d := range all {
		wg.Go(func() { finds[i], errs[i] = d.Observe(ctx, names...) })
	}
	wg.Wait()
	for i, found := range finds {
		if errs[i] != nil {
			return nil, fmt.Errorf("look at the %s daemons of %s: %w", all[i].Kind(), e.host.Name(), errs[i])
		}
		for i, o := range found {
			merged[i] = merge(merged[i], o)
		}
	}
	return merged, nil
}

// merge adds to what better drivers found what a lesser one did.
func merge(o, lesser spec.Observed) spec.Observed {
	if (o.State != spec.Absent || o.Foreign != "") && lesser.Stamp == nil {
		return o
	}
	if lesser.Paused == nil {
		lesser.Paused = o.Paused
	}
	return lesser
}

// told is what the watches of all drivers have just brought of a daemon; ok is false where one has brought nothing.
func (e *Engine) told(name string) (o spec.Observed, ok bool) {
	o = spec.Observed{Name: name, State: spec.Absent}
	for _, d := range e.host.Drivers() {
		t, ok := drivers.Find[drivers.Teller](d)
		if !ok {
			return o, false
		}
		found, ok := t.Told(name)
		if !ok {
			return o, false
		}
		o = merge(o, found)
	}
	return o, true
}

// list returns every name on the host that carries our stamp, sorted.
func (e *Engine) list(ctx context.Context) ([]string, error) {
	var all []string
	for _, d := range e.host.Drivers() {
		names, err := d.List(ctx)
		if err != nil {
			return nil, fmt.Errorf("list the %s daemons of %s: %w", d.Kind(), e.host.Name(), err)
		}
		all = append(all, names...)
	}
	slices.Sort(all)
	return slices.Compact(all), nil
}

// driverFor returns the driver that want resolves to: for auto the best that the host has now, so a daemon moves when a better one has become available.
func (e *Engine) driverFor(want *spec.Daemon) (drivers.Driver, error) {
	d, err := e.host.Driver(want.Spec.Driver)
	if err != nil {
		return nil, fmt.Errorf("daemon %s (%s): %w", want.Name, want.Source, err)
	}
	return d, nil
}

// holders returns the live holders of owner sets by set, without this engine's own.
func (e *Engine) holders(ctx context.Context) (map[string]drivers.Holder, error) {
	hs, err := e.host.Holders(ctx)
	if err != nil {
		return nil, fmt.Errorf("list who keeps sets on %s: %w", e.host.Name(), err)
	}
	bySet := make(map[string]drivers.Holder, len(hs))
	for _, h := range hs {
		if h.ID != e.opt.Owner.Holder {
			bySet[h.Set] = h
		}
	}
	return bySet, nil
}

// fillHolder fills in who else keeps the set that the daemon is in, or is to be in.
func fillHolder(in *Input, holders map[string]drivers.Holder) {
	set := in.Owner.Set
	if st := in.Observed.Stamp; st != nil {
		set = st.Owner.Set
	}
	if h, ok := holders[set]; ok {
		in.HolderID = h.ID
		in.HeldBy = fmt.Sprintf("%q (pid %d, set %s, since %s)", h.Command, h.PID, h.Set, h.Since.Format(time.DateTime))
	}
}

// act does the steps of a decision in order and stops at the first that fails. by is when a reload must have shown itself; zero: when its spec says.
func (e *Engine) act(ctx context.Context, o spec.Observed, d Decision, by time.Time) error {
	if d.Action == Configured && o.Stamp != nil && len(d.Changes) > 0 {
		if err := e.host.Archive(ctx, spec.Revision{Stamp: *o.Stamp, Ready: e.wasReady(ctx, o)}); err != nil {
			return fmt.Errorf("keep revision %d of daemon %s for an undo: %w", o.Stamp.Generation, o.Name, err)
		}
		d.Steps = e.numbered(ctx, *o.Stamp, d.Steps)
	}
	for _, s := range d.Steps {
		if err := e.step(ctx, s, by); err != nil {
			return err
		}
		e.tellFallback(o, s)
	}
	e.tellRepaired(o, d)
	return nil
}

// numbered has the steps of a change to now make a revision with a number that none has which failed: one that was given up beside what runs keeps its own.
func (e *Engine) numbered(ctx context.Context, now spec.Stamp, steps []spec.Step) []spec.Step {
	if !slices.ContainsFunc(steps, func(s spec.Step) bool { return s.Want != nil && s.Want.Spec.Update != nil }) {
		return steps
	}
	steps, next := slices.Clone(steps), e.next(ctx, now)
	for i := range steps {
		if steps[i].Generation > now.Generation {
			steps[i].Generation = next
		}
	}
	return steps
}

// next is the number of the revision after now. A history that can't be read keeps nobody from a change.
func (e *Engine) next(ctx context.Context, now spec.Stamp) int64 {
	past, err := e.host.History(ctx, now.Name)
	if err != nil {
		e.opt.Log.Error(err, "find the number of the next revision", "host", e.host.Name(), "name", now.Name)
		past = nil
	}
	return max(now.Generation, lastFailed(past)) + 1
}

// wasReady says whether somebody found the revision that is applied now Ready when it was looked at last.
func (e *Engine) wasReady(ctx context.Context, o spec.Observed) bool {
	kept, err := e.host.Statuses(ctx, o.Name)
	if err != nil {
		return false
	}
	ready := find(kept[o.Name].Conditions, spec.Ready)
	return ready.Status == spec.True && ready.ObservedGeneration == o.Stamp.Generation
}

// work waits for a place among the busiest, and rest gives it back.
func (e *Engine) work() { e.busy <- struct{}{} }
func (e *Engine) rest() { <-e.busy }

// waits says that a step of that verb mostly waits: for a daemon to end, for the one flush of the disk that all pauses at a time share, or for a platform that
// does the starts.
func waits(v spec.Verb, d drivers.Driver) bool {
	if v == spec.VerbStart {
		p, ok := drivers.Find[drivers.Patient](d)
		return ok && p.StartsWait()
	}
	return v == spec.VerbStop || v == spec.VerbReload || v == spec.VerbRetire || v == spec.VerbAbandon || v == spec.VerbPause || v == spec.VerbResume || v == spec.VerbHold || v == spec.VerbRelease
}

// step does one step through its driver and tells of it; by is as in act. The caller is at work; while the daemon is waited for it rests, unless somebody said how many may be
// started and stopped at once.
func (e *Engine) step(ctx context.Context, s spec.Step, by time.Time) error {
	drv, err := e.host.Driver(s.Driver)
	if err != nil {
		return err
	}
	if err := e.send(ctx, s); err != nil {
		return err
	}
	s.Tool = e.opt.Tool
	if word, ok := doing[s.Verb]; ok {
		e.report(s.Name, word, s.Reason)
	}
	resting, began := e.opt.Concurrency == 0 && waits(s.Verb, drv), time.Now()
	if resting {
		e.rest()
	}
	if s.Verb == spec.VerbReload {
		err = e.reload(ctx, drv, s, by)
	} else {
		err = drv.Apply(ctx, s)
	}
	if resting {
		e.work()
	}
	if e.opt.Meter != nil {
		e.opt.Meter.Stepped(s.Verb, time.Since(began), err)
	}
	switch {
	case err == nil:
		if s.Verb == spec.VerbRemove {
			e.forget(ctx, s.Name)
		}
		e.opt.Log.Info("step done", "host", e.host.Name(), "name", s.Name, "step", s.Verb, "reason", s.Reason)
		if what, ok := done[s.Verb]; ok {
			e.inform(s.Name, what, story(s))
		}
		return nil
	case errors.Is(err, drivers.ErrMoved), ctx.Err() != nil:
		return err
	}
	e.warn(s.Name, string(s.Verb)+"Failed", err.Error())
	return fmt.Errorf("%s daemon %s on %s: %w", trying[s.Verb], s.Name, e.host.Name(), err)
}

// forget forgets the conditions of a daemon that is gone.
func (e *Engine) forget(ctx context.Context, name string) {
	if err := e.host.SetStatus(ctx, spec.Status{Name: name}); err != nil {
		e.opt.Log.Error(err, "forget the status", "host", e.host.Name(), "name", name)
	}
}

// send sees to it that the host has what the step puts to its place.
func (e *Engine) send(ctx context.Context, s spec.Step) error {
	switch s.Verb {
	case spec.VerbFiles:
		return e.keepContents(ctx, s.Want)
	case spec.VerbInstall:
		return e.keepProgram(ctx, s.Want)
	}
	return nil
}

// keepProgram keeps a daemon's program on its host, from where a transfer that was cut off left it.
func (e *Engine) keepProgram(ctx context.Context, d *spec.Daemon) error {
	if d.Program == nil || d.Program.Open == nil {
		return nil // the host has it, or the step says that it hasn't
	}
	// One at a time of each program: the others find that the host has it.
	sending, _ := e.sending.LoadOrStore(d.Program.Digest, make(chan struct{}, 1))
	turn := sending.(chan struct{})
	select {
	case turn <- struct{}{}:
		defer func() { <-turn }()
	case <-ctx.Done():
		return ctx.Err()
	}
	if err := drivers.SendProgram(ctx, e.host, d.Program); err != nil {
		return fmt.Errorf("send the program of daemon %s to %s: %w", d.Name, e.host.Name(), err)
	}
	return nil
}

// keepContents keeps the file contents of a daemon on its host, so that an undo finds them.
func (e *Engine) keepContents(ctx context.Context, d *spec.Daemon) error {
	for digest, content := range d.Contents {
		has, err := e.host.Has(ctx, digest)
		if err == nil && !has {
			err = e.host.Put(ctx, digest, content)
		}
		if err != nil {
			return fmt.Errorf("keep a file content of daemon %s on %s: %w", d.Name, e.host.Name(), err)
		}
	}
	return nil
}

// The words for steps: while one is under way, when it is done, and when it failed.
var (
	doing = map[spec.Verb]string{
		spec.VerbStart: "start", spec.VerbStop: "stop", spec.VerbReload: "reload", spec.VerbRemove: "remove", spec.VerbFiles: "write files",
		spec.VerbInstall: "install", spec.VerbUninstall: "uninstall",
		spec.VerbRetire: "retire", spec.VerbAbandon: "abandon",
	}
	done = map[spec.Verb]string{
		spec.VerbStart: "Started", spec.VerbStop: "Stopped", spec.VerbReload: "Reloaded", spec.VerbRemove: "Removed", spec.VerbFiles: "FilesWritten",
		spec.VerbInstall: "Installed", spec.VerbUninstall: "Uninstalled",
		spec.VerbStamp: "Configured", spec.VerbPause: "Paused", spec.VerbResume: "Resumed", spec.VerbRetire: "Retired",
	}
	trying = map[spec.Verb]string{
		spec.VerbStart: "start", spec.VerbStop: "stop", spec.VerbReload: "reload", spec.VerbRemove: "remove", spec.VerbFiles: "write the files of",
		spec.VerbInstall: "install the program of", spec.VerbUninstall: "uninstall the program of",
		spec.VerbStamp: "stamp", spec.VerbPause: "pause", spec.VerbResume: "resume",
	}
)

// hopeless says that trying again without a change by the user can't help.
func hopeless(err error) bool {
	return errors.Is(err, drivers.ErrPermanent) || errors.Is(err, drivers.ErrUnsupported) || errors.Is(err, drivers.ErrConflict)
}
