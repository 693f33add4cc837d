package process

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"time"

	"reconciler.dev/reconciler/internal/atomicfile"
	"reconciler.dev/reconciler/internal/failpoint"
	"reconciler.dev/reconciler/internal/pidfd"
	"reconciler.dev/reconciler/internal/procfs"
	"reconciler.dev/reconciler/pkg/drivers"
	"reconciler.dev/reconciler/pkg/spec"
)

var _ drivers.Adopter = (*Driver)(nil)

// Inspect looks at a process that is to be taken over.
func (d *Driver) Inspect(_ context.Context, want *spec.Daemon, c spec.Candidate) (*spec.Takeover, error) {
	t, _, err := d.inspect(want, c)
	if err != nil {
		return nil, fmt.Errorf("look at what daemon %s is to be: %w", want.Name, err)
	}
	return t, nil
}

func (d *Driver) inspect(want *spec.Daemon, c spec.Candidate) (*spec.Takeover, string, error) {
	if c.Unit != "" {
		return nil, "", fmt.Errorf("unit %s is systemd's, which goes on to restart and to stop it; adopt it with driver systemd: %w", c.Unit, drivers.ErrUnsupported)
	}
	main, err := drivers.FindCandidate(c)
	if err != nil {
		return nil, "", err
	}
	if unit := drivers.UnitOfProcess(main.PID); strings.HasSuffix(unit, ".service") && !strings.HasPrefix(unit, "user@") {
		return nil, "", fmt.Errorf("process %d is of unit %s, which systemd goes on to restart and to stop; adopt that with --from unit=%[2]s and driver systemd: %w", main.PID, unit, drivers.ErrUnsupported)
	}
	if err := d.refuseLosses(want); err != nil {
		return nil, "", err
	}
	place, err := d.trees.Vacant(want.Name, &want.Spec)
	if err != nil {
		return nil, "", err
	}
	members, err := procfs.Descendants(main.PID)
	if err != nil {
		return nil, "", err
	}
	if err := d.refuseTagged(want.Name, members); err != nil {
		return nil, "", err
	}
	t, err := drivers.Compare(want, main, nil)
	if err != nil {
		return nil, "", err
	}
	t.Driver, t.PIDs, t.Lost = d.Kind(), pids(members), d.losses(want.Name, &want.Spec)
	if place != "" && place != t.Cgroup {
		t.Now = append(t.Now, spec.Drift{Field: "cgroup", Want: place, Have: t.Cgroup, Class: spec.Live})
	}
	if log := d.logPath(want.Name, &want.Spec); log != t.Output {
		t.Notes = append(t.Notes, fmt.Sprintf("its output goes on to %s, and not to %s before its next start", t.Output, log))
	}
	if main.PPID > 1 {
		t.Notes = append(t.Notes, fmt.Sprintf("process %d started it; if that restarts what ends, take this out of its hands", main.PPID))
	}
	return t, place, nil
}

// refuseTagged refuses what is a reconciler's already: the tag says so, whoever's it is. What a takeover of this daemon that was cut off has left says nothing.
func (d *Driver) refuseTagged(name string, members []procfs.Stat) error {
	mine := d.begun(name)
	for _, m := range members {
		if t, err := procfs.ReadTag(m.PID); err == nil && t != 0 && t != mine {
			return fmt.Errorf("process %d carries the mark of a daemon that a reconciler runs, this one or another on this machine: %w", m.PID, drivers.ErrConflict)
		}
	}
	return nil
}

// begunPath is where it is written down that a daemon is being taken over, before the first process is marked.
func (d *Driver) begunPath(name string) string {
	return filepath.Join(d.dirs.Run, "adopting", string(d.Kind())+"-"+name)
}

// begun is the tag of a takeover that was begun, 0 for none.
func (d *Driver) begun(name string) procfs.Tag {
	text, _ := os.ReadFile(d.begunPath(name)) // what isn't there was not begun
	return tagOf(string(text))
}

// adoptRunning takes over a process that runs. Until the record is written, in one piece, the daemon isn't ours; from then on it is: who is cut off before that has changed nothing that the
// daemon could notice, and the next one begins anew.
func (d *Driver) adoptRunning(_ context.Context, step spec.Step) error {
	f, err := d.settleTree(step.Name, d.trees.Marks)
	if err != nil {
		return err
	}
	if f.alive && f.rec.Instance.PID == step.Adopt.PID && f.rec.Instance.StartTicks == step.Adopt.StartTicks {
		return nil
	}
	if f.rec != nil {
		return fmt.Errorf("there is a daemon of that name already: %w", drivers.ErrConflict)
	}
	t, place, err := d.inspect(step.Want, *step.Adopt)
	if err != nil {
		return err
	}
	fd, err := pidfd.Open(t.Candidate.PID)
	if err != nil {
		return fmt.Errorf("hold on to process %d: %w: %w", t.Candidate.PID, err, drivers.ErrMoved)
	}
	defer fd.Close()
	mine := d.begun(step.Name)
	if mine == 0 {
		mine = procfs.NewTag()
	}
	if err := d.begin(step.Name, mine); err != nil {
		return err
	}
	failpoint.Hit(failpoint.AdoptBegun)
	inst := &spec.Instance{
		ID: id(mine), PID: t.Candidate.PID, StartTicks: t.Candidate.StartTicks, BootID: d.self.BootID, StartedAt: t.Since,
		Generation: step.Generation, SpecDigest: step.Want.Digest, Pending: t.Pending,
	}
	if inst.Pending = append(inst.Pending, drivers.GiveLimits(&step.Want.Spec, t.PIDs)...); len(inst.Pending) > 0 {
		inst.Generation, inst.SpecDigest = 0, "" // what runs is none that was ever applied
	}
	rec := &record{Name: step.Name, Stamp: drivers.NewStamp(step, nil, time.Now()), Instance: inst, Place: place}
	members := func() ([]procfs.Stat, error) { return procfs.Descendants(inst.PID) }
	if err := d.trees.Take(rec.tree(), &Mark{Stamp: rec.Stamp, Instance: inst}, members, func() error { return d.sameStill(fd, inst) }); err != nil {
		return err
	}
	failpoint.Hit(failpoint.AdoptTaken)
	if err := d.store.write(rec); err != nil {
		return err
	}
	return atomicfile.Remove(d.begunPath(step.Name), atomicfile.Volatile)
}

// sameStill makes sure that the main process lives, and is the one that was looked at.
func (d *Driver) sameStill(fd pidfd.FD, i *spec.Instance) error {
	st, err := procfs.ReadStat(i.PID)
	if ended, endErr := fd.Ended(); err != nil || endErr != nil || ended || st.Start != i.StartTicks {
		return errors.Join(fmt.Errorf("process %d has ended meanwhile: %w", i.PID, drivers.ErrMoved), endErr)
	}
	return nil
}

func (d *Driver) begin(name string, t procfs.Tag) error {
	path := d.begunPath(name)
	if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
		return fmt.Errorf("note that daemon %s is being taken over: %w", name, err)
	}
	if err := atomicfile.Write(path, []byte(id(t)), 0o600, atomicfile.Volatile); err != nil {
		return fmt.Errorf("note that daemon %s is being taken over: %w", name, err)
	}
	return nil
}

// maxTakes bounds how often a tree is gone through that grows while it is taken over.
const maxTakes = 1000

// Vacant is everywhere.
func (*tags) Vacant(string, *spec.Spec) (string, error) { return "", nil }

// Take gives the processes the tag, parents first: whoever is made by one that has it has it too. It ends when a look finds none without.
func (*tags) Take(t Tree, _ *Mark, members func() ([]procfs.Stat, error), still func() error) error {
	for range maxTakes {
		all, err := members()
		if err != nil {
			return err
		}
		if err := still(); err != nil { // before anything is done to a process by its number
			return err
		}
		whole := true
		for _, m := range all {
			has, err := procfs.ReadTag(m.PID)
			if err == nil && has != tagOf(t.ID) {
				whole = false
				err = tagOf(t.ID).Give(m.PID)
			}
			if err != nil && !errors.Is(err, procfs.ErrGone) {
				return err
			}
		}
		if whole {
			return nil
		}
	}
	return fmt.Errorf("mark the processes of daemon %s: they come and go too fast to find them all", t.Name)
}
