package process

import (
	"errors"
	"time"

	"golang.org/x/sys/unix"

	"reconciler.dev/reconciler/internal/pidfd"
	"reconciler.dev/reconciler/internal/procfs"
	"reconciler.dev/reconciler/pkg/spec"
)

// finding is what is true of a daemon beyond its record.
type finding struct {
	// rec is the record as it should be; changed says that the file doesn't have it yet.
	rec     *record
	changed bool
	// alive says that the instance runs.
	alive bool
	// busy is Starting or Stopping while a live process of ours is at it.
	busy spec.State
	// strays are living processes of an instance whose main process ended badly.
	strays []int
}

// look finds out what is true of the daemon that rec is about; rec may be nil. locked says that the caller holds the daemon's lock, and records what is found: then
// the status of an ended child is taken from the kernel, what is left of an ended tree is waited for, and nobody else can be starting or stopping the daemon. Else
// the status is left there, and what isn't known yet is not reported.
func (d *Driver) look(rec *record, locked bool) (finding, error) {
	f := finding{rec: rec}
	if rec == nil {
		return f, nil
	}
	if done, err := d.lookAtIntent(&f, locked); done || err != nil {
		return f, err
	}
	i := f.rec.Instance
	switch {
	case i == nil || i.Exit != nil && f.rec.Gone:
		return f, nil
	case i.Exit != nil:
		return f, d.lookForStrays(&f, locked)
	}
	alive, err := d.isAlive(i)
	if err != nil {
		return f, err
	}
	if alive {
		f.alive = true
		d.lookAtStop(&f, locked)
		return f, nil
	}
	return f, d.lookAtEnd(&f, locked)
}

// lookAtIntent settles a start that is under way or was cut off. done says that there is nothing more to look at.
func (d *Driver) lookAtIntent(f *finding, locked bool) (done bool, err error) {
	in := f.rec.Intent
	if in == nil {
		return false, nil
	}
	working := false
	if !locked {
		if working, err = f.rec.By.alive(d.self); err != nil {
			return false, err
		}
	}
	if working {
		f.busy = spec.Starting
		return true, nil
	}
	var main *spec.Instance
	if f.rec.By.BootID == d.self.BootID {
		var left bool
		if main, left, err = d.mainOf(in.tree(), in.Instance, in.Stamp); err != nil {
			return false, err
		}
		if locked && !left {
			if err := d.trees.Remove(in.tree()); err != nil {
				return false, err
			}
		}
	}
	next := *f.rec
	next.Intent, next.By = nil, nil
	switch {
	case main != nil:
		next.Stamp, next.Instance, next.Place, next.Ended, next.Gone, next.Asked = in.Stamp, main, in.Place, 0, false, false
	case next.Stamp == nil:
		next.Stamp = in.Stamp
	}
	f.rec, f.changed = &next, true
	return false, nil
}

// lookAtStop tells a stop under way from one that was cut off.
func (d *Driver) lookAtStop(f *finding, locked bool) {
	if f.rec.By == nil || locked {
		return
	}
	if working, err := f.rec.By.alive(d.self); working && err == nil {
		f.busy = spec.Stopping
	}
}

// lookAtEnd finds out how the main process ended, and whether the instance goes on without it, as that of a daemon does which forks itself into the background. One whose
// main process was ended by a signal, or failed, is dead, whatever it leaves behind: nobody goes into the background that way, and workers without their master do no
// good. Where nobody knows how it ended, what lives is left alone.
func (d *Driver) lookAtEnd(f *finding, locked bool) error {
	i := *f.rec.Instance
	exit := d.howEnded(f.rec, locked)
	next := *f.rec
	next.Instance = &i
	f.rec, f.changed = &next, true
	if i.BootID != d.self.BootID {
		next.Gone = true
	} else if exit.Signal == "" && exit.Code == 0 {
		main, left, err := d.mainOf(f.rec.tree(), &i, f.rec.Stamp)
		switch {
		case err != nil:
			return err
		case main != nil:
			next.Instance = main
			f.alive = true
			d.lookAtStop(f, locked)
			return nil
		case left:
			d.beginStrayLook(f.rec)
		default:
			next.Gone = true
		}
	} else {
		d.beginStrayLook(f.rec)
	}
	exit.Asked = next.Asked
	i.Exit = exit
	next.By = nil
	if i.BootID == d.self.BootID {
		next.Ended = procfs.SinceBoot()
	}
	return nil
}

// howEnded returns how the main process of rec's instance ended, as far as anybody knows.
func (d *Driver) howEnded(rec *record, reap bool) *spec.Exit {
	exit := d.statusOf(rec.Name, rec.Instance, reap)
	d.noteOOM(rec, exit)
	return exit
}

// noteOOM notes whether it was the kernel that killed the instance for want of memory. Ask before the instance's place is removed.
func (d *Driver) noteOOM(rec *record, exit *spec.Exit) {
	exit.OOMKilled = (exit.Signal == "SIGKILL" || !exit.Known) && rec.Instance.BootID == d.self.BootID && d.trees.OOMKilled(rec.tree())
}

func (d *Driver) statusOf(name string, i *spec.Instance, reap bool) *spec.Exit {
	unknown := exitOf(0, false)
	if i.BootID != d.self.BootID {
		unknown.At = unknown.At.Add(-procfs.SinceBoot())
		return unknown
	}
	if i.PID == 0 {
		return unknown
	}
	fd, watched := d.watch.borrow(name, i)
	if !watched {
		var err error
		if fd, err = pidfd.Open(i.PID); err != nil {
			return unknown
		}
	}
	defer fd.Close()
	if !watched {
		if st, err := procfs.ReadStat(i.PID); err != nil || st.Start != i.StartTicks {
			return unknown // another process has the number now
		}
	}
	return exitOf(fd.Status(i.PID, !reap))
}

// exitOf describes an end that is seen now.
func exitOf(s unix.WaitStatus, known bool) *spec.Exit {
	e := &spec.Exit{At: time.Now(), Known: known}
	switch {
	case !known:
	case s.Signaled():
		e.Signal = unix.SignalName(s.Signal())
	default:
		e.Code = s.ExitStatus()
	}
	return e
}

// isAlive tells whether the main process of an instance lives. The tag proves it at less cost than the start time.
func (d *Driver) isAlive(i *spec.Instance) (bool, error) {
	if i.PID == 0 || i.BootID != d.self.BootID {
		return false, nil
	}
	fd, err := pidfd.Open(i.PID)
	if errors.Is(err, pidfd.ErrGone) {
		return false, nil
	}
	if err != nil {
		return false, err
	}
	defer fd.Close()
	return same(fd, i)
}

// same tells whether fd, opened by the number of i, is its main process and lives.
func same(fd pidfd.FD, i *spec.Instance) (bool, error) {
	t, err := procfs.ReadTag(i.PID)
	if err == nil && t != tag(i) { // it may have set its limits
		var st procfs.Stat
		if st, err = procfs.ReadStat(i.PID); err == nil && st.Start != i.StartTicks {
			return false, nil
		}
	}
	if errors.Is(err, procfs.ErrGone) {
		return false, nil
	}
	if err != nil {
		return false, err
	}
	ended, err := fd.Ended() // while it hasn't, the number couldn't have come to mean another
	return !ended, err
}

// living returns the processes of a tree that haven't ended: see Trees.
func (d *Driver) living(t Tree, dead ...Process) ([]procfs.Stat, error) {
	return d.trees.Living(t, dead...)
}

func pids(ps []procfs.Stat) (out []int) {
	for _, p := range ps {
		out = append(out, p.PID)
	}
	return out
}

// alive tells whether the actor lives. me is this process.
func (a *actor) alive(me actor) (bool, error) {
	if *a == me {
		return true, nil
	}
	if a.BootID != me.BootID {
		return false, nil
	}
	st, err := procfs.ReadStat(a.PID)
	if errors.Is(err, procfs.ErrGone) {
		return false, nil
	}
	return err == nil && st.Start == a.StartTicks && !st.Dead(), err
}
