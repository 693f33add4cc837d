package systemd

import (
	"context"
	"time"

	"golang.org/x/sys/unix"

	"reconciler.dev/reconciler/internal/procfs"
	"reconciler.dev/reconciler/pkg/spec"
)

// lookAtInstance returns the note as it should be, nil where it is right already. It asks the manager only for what the note can't know.
func (d *Driver) lookAtInstance(ctx context.Context, l *link, f *finding) (*note, error) {
	var was note
	if f.note != nil {
		was = *f.note
	}
	i := was.Instance
	if f.alive() {
		if i != nil && i.Exit == nil && i.ID == d.invocation(f.unit) && d.isMain(f, i) {
			return nil, nil
		}
	} else if i != nil && i.Exit != nil && (f.loaded.active == "inactive" || f.loaded.active == "") {
		return nil, nil // the manager may remember as much, and never more
	}
	if f.loaded.active == "" { // the manager has forgotten it
		if i == nil {
			return nil, nil
		}
		next := was.after(facts{}, f.stamp(), false, d.boot)
		return next, nil
	}
	said, err := d.factsOf(ctx, l, f.unit)
	if err != nil {
		return nil, err
	}
	next := was.after(said, f.stamp(), f.alive(), d.boot)
	next.Unit = f.unit
	return next, nil
}

// factsOf asks the manager about the last invocation of a unit. Each property is an answer of its own, so they are asked for again where another invocation began between the first and the last.
func (d *Driver) factsOf(ctx context.Context, l *link, unit string) (said facts, err error) {
	for range 5 {
		before := d.invocation(unit)
		said, err = l.get(ctx, unit, map[string][]string{
			unitInterface:    {"InvocationID"},
			serviceInterface: {"MainPID", "ExecMainPID", "NRestarts", "Result", "ExecMainCode", "ExecMainStatus", "ExecMainStartTimestamp", "ExecMainExitTimestamp"},
		})
		if err != nil || before == d.invocation(unit) {
			break
		}
	}
	return said, err
}

// isMain tells whether the main process of an invocation is still the one that was noted. That of a daemon which neither forks into the background nor speaks to systemd stays.
func (d *Driver) isMain(f *finding, i *spec.Instance) bool {
	if t := f.stamp().Spec.Type; i.PID != 0 && i.StartTicks != 0 && (t == spec.TypeExec || t == "") {
		return true
	}
	return lives(i)
}

// lives tells whether the main process of i is the one that it was. An instance whose main process isn't known is none to be sure of.
func lives(i *spec.Instance) bool {
	if i.PID == 0 {
		return false
	}
	st, err := procfs.ReadStat(i.PID)
	return err == nil && st.Start == i.StartTicks && !st.Dead()
}

// after is what is to be noted after the manager said this of a unit.
func (n note) after(said facts, stamp *spec.Stamp, alive bool, boot string) *note {
	if said.Invocation != "" && (n.Instance == nil || n.Instance.ID != said.Invocation) {
		n.meet(said, stamp, boot)
	}
	if n.Instance == nil {
		return &n
	}
	i := *n.Instance
	n.Instance = &i
	switch {
	case alive:
		i.Exit = nil
		if said.MainPID != 0 && said.MainPID != i.PID {
			i.PID, i.BootID, i.StartTicks = said.MainPID, boot, 0
		}
		if i.StartTicks == 0 && i.PID != 0 {
			if st, err := procfs.ReadStat(i.PID); err == nil {
				i.StartTicks = st.Start
			}
		}
	case i.Exit == nil, n.Guessed && said.Invocation == i.ID && said.Code != 0:
		n.Guessed = said.Invocation != i.ID
		i.Exit = n.ended(said)
		n.Ended = max(1, procfs.SinceBoot()-max(0, time.Since(i.Exit.At)))
	}
	return &n
}

// meet notes an instance that wasn't seen before.
func (n *note) meet(said facts, stamp *spec.Stamp, boot string) {
	next := &spec.Instance{
		ID: said.Invocation, PID: said.MainPID, BootID: boot, StartedAt: said.Began, Generation: stamp.Generation, SpecDigest: stamp.Digest,
	}
	if next.PID == 0 {
		next.PID = said.ExecPID
	}
	if last := n.Instance; last != nil {
		next.Last, next.LogStart, next.LastLogStart = last.Exit, last.LogStart, last.LogStart
		if next.Last == nil {
			next.Last = &spec.Exit{At: said.Began, Asked: n.Asked == last.ID}
		}
		if last.Restarts > n.Before+said.Restarts { // the manager began to count anew
			n.Before = last.Restarts
		}
		next.Restarts = n.Before + said.Restarts
		next.Attempts = max(0, next.Restarts-last.Restarts)
		if up := next.Last.At.Sub(last.StartedAt); up < stamp.Spec.Restart.Backoff.ResetAfter.D() {
			next.Attempts += last.Attempts
		}
	} else {
		next.Restarts, next.Attempts = said.Restarts, said.Restarts
	}
	n.Instance, n.Ended, n.Guessed = next, 0, false
}

// ended is how the noted instance ended. A unit that the manager has forgotten hadn't failed: its main process ended well, or at our word.
func (n *note) ended(said facts) *spec.Exit {
	e := exitOf(said)
	if said.Invocation != n.Instance.ID {
		e = &spec.Exit{Known: n.Asked != n.Instance.ID, At: time.Now()}
	}
	e.Asked = n.Asked == n.Instance.ID
	return e
}

// The values of ExecMainCode: CLD_EXITED, CLD_KILLED and CLD_DUMPED of sigaction(2).
const (
	exited = 1
	killed = 2
	dumped = 3
)

// exitOf is how the manager says that a main process ended.
func exitOf(said facts) *spec.Exit {
	e := &spec.Exit{At: said.Ended, OOMKilled: said.Result == "oom-kill"}
	if e.At.IsZero() {
		e.At = time.Now()
	}
	switch said.Code {
	case exited:
		e.Known, e.Code = true, said.Status
	case killed, dumped:
		e.Known, e.Signal = true, unix.SignalName(unix.Signal(said.Status))
	}
	return e
}

// timed returns a copy of i with what depends on the time of the look. ended is when it ended, since the boot it ran in.
func timed(i *spec.Instance, ended time.Duration, boot string) *spec.Instance {
	c := *i
	if c.Exit == nil {
		if c.StartTicks != 0 {
			c.Up = procfs.Age(c.StartTicks)
		}
		return &c
	}
	e := *c.Exit
	c.Exit = &e
	if ended == 0 || c.BootID != boot {
		e.Since = max(0, time.Since(e.At))
		return &c
	}
	e.Since = max(0, procfs.SinceBoot()-ended)
	if c.StartTicks != 0 {
		c.Up = max(0, procfs.Age(c.StartTicks)-e.Since)
	}
	return &c
}
