package process

import (
	"context"
	"fmt"
	"sync"
	"time"

	"reconciler.dev/reconciler/internal/procfs"
	"reconciler.dev/reconciler/pkg/drivers"
	"reconciler.dev/reconciler/pkg/spec"
)

// Observe looks at each name. It changes no process; an end that nobody has recorded yet it records, because the kernel won't tell it twice.
func (d *Driver) Observe(ctx context.Context, names ...string) ([]spec.Observed, error) {
	out := make([]spec.Observed, len(names))
	marks := sync.OnceValues(d.trees.Marks)
	recorded := d.recorded(len(names))
	drivers.Side(len(names), func(i int) {
		switch {
		case ctx.Err() != nil:
		case recorded(names[i]):
			out[i] = d.observe(names[i], marks)
		default:
			out[i] = d.observeUnrecorded(names[i], marks)
		}
	})
	return out, ctx.Err()
}

// few is how many daemons are looked at without a list of those that have a record.
const few = 8

// recorded tells who may have a record, for a look at n daemons: where these are many, a list costs less than a look for each that has none, as those of another driver don't.
func (d *Driver) recorded(n int) func(name string) bool {
	all := func(string) bool { return true }
	if n <= few {
		return all
	}
	names, err := d.store.names()
	if err != nil {
		return all // whoever looks for each says what is the matter
	}
	have := make(map[string]bool, len(names))
	for _, name := range names {
		have[name] = true
	}
	return func(name string) bool { return have[name] }
}

// observeUnrecorded is observe for a daemon that has no record: it is absent, unless that was lost.
func (d *Driver) observeUnrecorded(name string, marks marks) spec.Observed {
	if known, err := marks(); err != nil || known[name] != "" {
		return d.observe(name, marks)
	}
	return spec.Observed{Name: name, State: spec.Absent, Driver: d.Kind()}
}

func (d *Driver) observe(name string, marks marks) spec.Observed {
	f, err := d.find(name, marks)
	if err != nil {
		return spec.Observed{Name: name, State: spec.Unknown, Driver: d.Kind(), Message: err.Error()}
	}
	return d.observed(name, f)
}

// find looks at a daemon, and records what it finds where nobody else is changing the daemon.
func (d *Driver) find(name string, marks marks) (finding, error) {
	rec, err := d.read(name, marks)
	if err != nil {
		return finding{}, err
	}
	f, err := d.look(rec, false)
	if err != nil || !f.changed && f.busy == "" {
		return f, err
	}
	lock, _ := d.tryLock(name)
	if lock == nil {
		return f, nil // somebody is at it, or nobody can be; what was found is true either way
	}
	defer lock.Release()
	g, err := d.settle(name, marks)
	if err != nil && g.rec != nil {
		err = nil // found, and not recorded: whoever looks next finds it too
	}
	return g, err
}

// settleTree is settle for those who must know what is left of an instance that ended.
func (d *Driver) settleTree(name string, marks marks) (finding, error) {
	f, err := d.settle(name, marks)
	if err != nil || f.rec == nil || f.rec.Instance == nil || f.rec.Instance.Exit == nil || f.rec.Gone || f.strays != nil {
		return f, err
	}
	if err = d.lookForStrays(&f, true); err == nil && f.rec.Gone {
		err = d.trees.Remove(f.rec.tree())
	}
	return f, err
}

// settle looks at a daemon whose lock the caller holds, and records what it finds.
func (d *Driver) settle(name string, marks marks) (finding, error) {
	rec, err := d.read(name, marks)
	if err != nil {
		return finding{}, err
	}
	f, err := d.look(rec, true)
	if err != nil || !f.changed {
		return f, err
	}
	f.changed = false
	if err := d.store.write(f.rec); err != nil {
		return f, err
	}
	if f.alive && d.watch.on() {
		d.arm(name) // another process stands for the instance now
	}
	if f.rec.Gone {
		return f, d.trees.Remove(f.rec.tree())
	}
	return f, nil
}

// Knows reads the records, of many names only those that are in the directory. Of a second copy it reads nothing else: every daemon is asked for one at every step, and a walk through
// all trees each time, for a record that might be lost, would cost more than the step.
func (d *Driver) Knows(_ context.Context, names ...string) ([]bool, error) {
	known, recorded, all := make([]bool, len(names)), d.recorded(len(names)), sync.OnceValues(d.trees.Marks)
	for i, name := range names {
		marks := all
		if _, slot := spec.LogicalName(name); slot > 0 {
			if marks = noMarks; !recorded(name) {
				continue
			}
		}
		rec, err := d.read(name, marks)
		known[i] = rec != nil || err != nil // one that can't be read is there
	}
	return known, nil
}

// PIDs returns all processes of the instance that runs.
func (d *Driver) PIDs(_ context.Context, name string) ([]int, error) {
	rec, err := d.read(name, d.trees.Marks)
	if err != nil || rec == nil {
		return nil, err
	}
	var t Tree
	switch {
	case rec.Intent != nil:
		t = rec.Intent.tree()
	case rec.Instance != nil:
		t = rec.tree()
	default:
		return nil, nil
	}
	living, err := d.living(t)
	if err != nil {
		return nil, fmt.Errorf("list the processes of daemon %s: %w", name, err)
	}
	return pids(living), nil
}

func (d *Driver) observed(name string, f finding) spec.Observed {
	o := spec.Observed{Name: name, State: spec.Absent, Driver: d.Kind()}
	if f.rec == nil {
		return o
	}
	o.State, o.Stamp = spec.Exited, f.rec.Stamp
	inst := f.rec.Instance
	if in := f.rec.Intent; in != nil && f.busy == spec.Starting {
		inst = in.Instance
		if o.Stamp == nil {
			o.Stamp = in.Stamp
		}
	}
	if f.alive {
		o.State = spec.Running
	}
	if f.busy != "" {
		o.State = f.busy
	}
	if len(f.strays) > 0 {
		o.Message = fmt.Sprintf("processes %v of it are left; the next start or stop ends them", f.strays)
	}
	if inst != nil {
		o.Instance = timed(inst, f.rec.Ended, d.self.BootID)
		if f.alive {
			o.Drift = append(o.Drift, inst.Pending...)
		}
	}
	if o.Stamp != nil {
		d.lookAtPlace(f, &o)
	}
	return o
}

// lookAtPlace fills in what the spec asks for and doesn't get; of an instance that runs, what can be seen of that.
func (d *Driver) lookAtPlace(f finding, o *spec.Observed) {
	s := &o.Stamp.Spec
	if !f.alive {
		o.Lost = d.losses(o.Name, s)
		return
	}
	o.Lost = losses(s)
	if err := d.trees.Look(f.rec.tree(), s, o); err != nil {
		o.Message = err.Error()
	}
}

// timed returns a copy of i with what depends on the time of the look. ended is when it ended, since the boot it ran in.
func timed(i *spec.Instance, ended time.Duration, boot string) *spec.Instance {
	c := *i
	if c.Exit == nil {
		if c.PID != 0 {
			c.Up = procfs.Age(c.StartTicks)
		}
		return &c
	}
	e := *c.Exit
	c.Exit = &e
	if ended == 0 || c.BootID != boot { // in another boot: only the wall clock knows
		e.Since = max(0, time.Since(e.At))
		return &c
	}
	e.Since = max(0, procfs.SinceBoot()-ended)
	c.Up = max(0, procfs.Age(c.StartTicks)-e.Since)
	return &c
}
