package systemd

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"time"

	"golang.org/x/sys/unix"

	"reconciler.dev/reconciler/internal/atomicfile"
	"reconciler.dev/reconciler/internal/failpoint"
	"reconciler.dev/reconciler/internal/logfile"
	"reconciler.dev/reconciler/internal/procfs"
	"reconciler.dev/reconciler/pkg/drivers"
	"reconciler.dev/reconciler/pkg/spec"
)

// starting is a start whose unit is on disk.
type starting struct {
	f        *finding
	l        *link
	unit     string
	p        *plan
	logStart int64
}

// start starts the daemon where no process of it lives. The unit file is what a start that is cut off anywhere leaves behind: the next plan repeats it whole.
func (d *Driver) start(ctx context.Context, step spec.Step) error {
	s, err := d.ready(ctx, step)
	if err != nil || s == nil {
		return err
	}
	failpoint.Hit(failpoint.StartIntended)
	select {
	case d.starts <- struct{}{}:
		defer func() { <-d.starts }()
	case <-ctx.Done():
		return ctx.Err()
	}
	next, err := d.launch(ctx, s.l, s.f, s.unit, s.p, step)
	if err != nil {
		return errors.Join(err, d.withdraw(context.WithoutCancel(ctx), s.l, s.f, s.unit, s.p, err))
	}
	next.Instance.LogStart = s.logStart
	if err := d.notes.write(s.f.name, *next); err != nil {
		return err
	}
	failpoint.Hit(failpoint.StartRecorded)
	return nil
}

// writersAtOnce is how many starts write their units side by side. The manager reads its directories anew for each unit that it loads after one was written, so starts write first, as
// fast as they can, and wait for the manager together.
const writersAtOnce = 4

// startsAtOnce bounds how long the manager can take to get to one of them.
const startsAtOnce = 512

// StartsWait is true: a start is the manager's work.
func (d *Driver) StartsWait() bool { return true }

// ready puts all on disk that a start needs. It returns nil where the daemon runs already as it shall.
func (d *Driver) ready(ctx context.Context, step spec.Step) (*starting, error) {
	select {
	case d.writers <- struct{}{}:
		defer func() { <-d.writers }()
	case <-ctx.Done():
		return nil, ctx.Err()
	}
	f, l, err := d.findForStart(ctx, step)
	if err != nil {
		return nil, err
	}
	if f.alive() && f.state != spec.Stopping && f.stamp().Digest == step.Want.Digest && f.inst != nil && f.inst.Generation == step.Generation && f.inst.SpecDigest == step.Want.Digest {
		return nil, nil
	}
	if err := drivers.CheckInstance(step, f.observed()); err != nil {
		return nil, err
	}
	if f.alive() {
		return nil, fmt.Errorf("unit %s of it is %s: %w", f.unit, f.loaded.active, drivers.ErrMoved)
	}
	unit, err := d.place(f, step.Want)
	if err != nil {
		return nil, err
	}
	p, err := d.prepare(ctx, step.Want, drivers.NewStamp(step, f.stamp(), time.Now()))
	if err != nil {
		return nil, err
	}
	if err := d.leaveOld(ctx, l, f, unit); err != nil {
		return nil, err
	}
	logStart, err := openLog(p)
	if err != nil {
		return nil, err
	}
	return &starting{f, l, unit, p, logStart}, d.install(f, unit, p)
}

// place returns the unit that want is to be, once nothing that isn't ours stands in its place.
func (d *Driver) place(f *finding, want *spec.Daemon) (string, error) {
	unit := spec.UnitName(want.Name, want.Spec.Cgroup)
	foreign := f.foreign
	switch {
	case unit != f.unit:
		foreign = d.foreign(want.Name, unit)
	case !f.ours() && foreign == "":
		foreign = d.dropInOf(unit)
	}
	if foreign != "" {
		return "", fmt.Errorf("%s stands in the place of unit %s and doesn't carry our stamp; rename the daemon, or remove that first: %w", foreign, unit, drivers.ErrConflict)
	}
	return unit, nil
}

// foreign says what stands in the place of a unit that isn't the daemon's, empty where nothing does.
func (d *Driver) foreign(name, unit string) string {
	o := &finding{name: name, unit: unit, file: d.units.read(unit)}
	if s := o.file.stamp; s != nil {
		if s.Name != name {
			return "daemon " + s.Name + "'s unit"
		}
		return ""
	}
	if d.lookForOthers(o); o.foreign != "" {
		return o.foreign
	}
	return d.dropInOf(unit)
}

// dropInOf names what would go over the settings of a unit that isn't ours yet, empty where nothing does.
func (d *Driver) dropInOf(unit string) string {
	if over := (&around{s: &d.scope}).dropIns(unit, ""); len(over) > 0 {
		return "the drop-in " + over[0].path
	}
	return ""
}

// leaveOld takes away the unit that the daemon was before, where it gets another name.
func (d *Driver) leaveOld(ctx context.Context, l *link, f *finding, unit string) error {
	if f.restarting {
		if err := d.cancelRestart(ctx, l, f); err != nil {
			return err
		}
	}
	if !f.ours() || f.unit == unit {
		return nil
	}
	old := f.noted()
	if err := d.removeUnit(f.name, f.unit); err != nil {
		return err
	}
	if err := d.notes.write(f.name, old); err != nil {
		return err
	}
	f.file = &unitFile{unit: unit}
	return d.forget(ctx, l, f.unit)
}

// install writes what the manager needs for a unit: the secrets, the unit file, and the link that has it started at boot. Nothing else goes over its settings then.
func (d *Driver) install(f *finding, unit string, p *plan) error {
	if err := d.clearDropIns(unit); err != nil {
		return err
	}
	if err := d.writeSecrets(p); err != nil {
		return err
	}
	if p.callsTool {
		if err := d.keepTool(); err != nil {
			return err
		}
	}
	if err := d.writeUnit(f, unit, p.text); err != nil {
		return err
	}
	failpoint.Hit(failpoint.UnitWritten)
	return d.enable(unit)
}

// writeUnit writes a unit file, unless it is there as it shall be. One in which only the stamp is another keeps its time: that is how systemd tells that
// it has to be read again.
func (d *Driver) writeUnit(f *finding, unit string, text []byte) error {
	if err := d.notes.keep(f.name, text); err != nil {
		return err
	}
	old := d.units.read(unit)
	if bytes.Equal(old.text, text) {
		return nil
	}
	path := d.scope.file(unit)
	if err := atomicfile.MkdirAll(d.scope.units, 0o755, atomicfile.Durable); err != nil {
		return err
	}
	if err := atomicfile.Write(path, text, unitMode(text), atomicfile.Durable); err != nil {
		return err
	}
	if old.text == nil {
		return d.announce(0)
	}
	if Same(old.text, text) {
		return retime(path, old.id.mtime)
	}
	return outdate(path, old.id.mtime)
}

// outdate makes the time of a file another one than it was, where the clock of the file system stood still: systemd counts microseconds, and some file systems seconds.
func outdate(path string, was int64) error {
	for _, later := range []time.Duration{time.Microsecond, time.Second} {
		var st unix.Stat_t
		if err := unix.Lstat(path, &st); err != nil || st.Mtim.Nano()/1000 != was/1000 {
			return err
		}
		if err := retime(path, was+int64(later)); err != nil {
			return err
		}
	}
	return nil
}

// announce has the manager look for new unit files when it is next asked for one that it doesn't know: it does so where the time of their directory is another one, and the clock of a
// file system may stand still for some milliseconds, or, in a few file systems, a second. That is what ago is for: any other time will do.
func (d *Driver) announce(ago time.Duration) error {
	return retime(d.scope.units, time.Now().Add(-ago).UnixNano())
}

// unitMode is that of a unit file: where its stamp has digests of secrets, which could be guessed from them, nobody else may read it. systemd remarks on that in the journal and
// reads it all the same.
func unitMode(text []byte) os.FileMode {
	if stamp, err := ParseStamp(text); err == nil && stamp != nil && !hasSecrets(&stamp.Spec) {
		return 0o644
	}
	return 0o600
}

// retime sets the time of a file's last change, in nanoseconds since 1970.
func retime(path string, mtime int64) error {
	t := unix.NsecToTimespec(mtime)
	if err := unix.UtimesNanoAt(unix.AT_FDCWD, path, []unix.Timespec{{Nsec: unix.UTIME_OMIT}, t}, unix.AT_SYMLINK_NOFOLLOW); err != nil {
		return fmt.Errorf("set the time of %s: %w", path, err)
	}
	return nil
}

// enable has the manager start a unit at its own start, as systemctl enable does.
func (d *Driver) enable(unit string) error {
	path, to := filepath.Join(d.scope.wants, unit), d.scope.file(unit)
	if have, err := os.Readlink(path); err == nil && have == to {
		return nil
	}
	if err := atomicfile.MkdirAll(d.scope.wants, 0o755, atomicfile.Durable); err != nil {
		return err
	}
	if err := atomicfile.Symlink(to, path, atomicfile.Durable); err != nil {
		return fmt.Errorf("enable unit %s: %w", unit, err)
	}
	return nil
}

// launch starts the unit and returns the note of the instance that it is.
func (d *Driver) launch(ctx context.Context, l *link, f *finding, unit string, p *plan, step spec.Step) (*note, error) {
	if f.loaded.active == "failed" {
		if err := l.call(ctx, "ResetFailedUnit", unit).Store(); err != nil && !said(err, "NoSuchUnit") {
			return nil, err
		}
	}
	if f.unasked || f.loaded.active != "" || f.unit != unit { // one that isn't loaded is read when it is
		if err := d.reread(ctx, l, unit); err != nil {
			return nil, err
		}
	}
	o, err := l.job(ctx, "StartUnit", unit)
	for ago := 2 * time.Second; said(err, "NoSuchUnit") && ago < 10*time.Second; ago += 2 * time.Second {
		if err := d.announce(ago); err != nil {
			return nil, err
		}
		o, err = l.job(ctx, "StartUnit", unit)
	}
	if err != nil {
		return nil, err
	}
	if o.result != "done" && !ranBriefly(o, step.Want) {
		return nil, d.explainStart(ctx, l, unit, p, o)
	}
	failpoint.Hit(failpoint.StartForked)
	if err := d.checkEnforced(ctx, unit, p); err != nil {
		return nil, err
	}
	next := d.startedNote(f, unit, o.facts, step, p.stamp)
	return &next, nil
}

// checkEnforced refuses a daemon that runs without a limit that is required, where that couldn't be known before, as with a kernel that has a controller and not all of it.
func (d *Driver) checkEnforced(ctx context.Context, unit string, p *plan) error {
	if c := p.want.Spec.Cgroup; c == nil || !c.Required {
		return nil
	}
	o := spec.Observed{Stamp: p.stamp}
	d.readCgroup(ctx, &finding{unit: unit, state: spec.Running, file: &unitFile{unit: unit, stamp: p.stamp}}, &o)
	for _, l := range o.Lost {
		if required(l.Field, &p.want.Spec) {
			return fmt.Errorf("%s: %s, and required is set: %w", l.Field, l.Reason, drivers.ErrUnsupported)
		}
	}
	return nil
}

// ranBriefly tells whether a daemon was executed and ended before the manager took notice of the first: that is an end, and no start that failed.
func ranBriefly(o outcome, want *spec.Daemon) bool {
	if want.Spec.Type != spec.TypeExec && want.Spec.Type != "" || o.result != "failed" || o.facts.Code == 0 {
		return false
	}
	_, never := stageOf(o.facts.Status)
	return o.facts.Code != exited || !never
}

// startedNote is what is to be noted of an instance that a step has just started.
func (d *Driver) startedNote(f *finding, unit string, said facts, step spec.Step, stamp *spec.Stamp) note {
	i := &spec.Instance{
		ID: said.Invocation, PID: said.MainPID, BootID: d.boot, StartedAt: said.Began, Generation: stamp.Generation, SpecDigest: stamp.Digest, Attempts: step.Attempts,
	}
	if st, err := procfs.ReadStat(i.PID); err == nil && i.PID != 0 {
		i.StartTicks = st.Start
	}
	if i.PID == 0 {
		i.PID = said.ExecPID
	}
	if i.StartedAt.IsZero() {
		i.StartedAt = time.Now()
	}
	if was := f.inst; was != nil {
		i.Last, i.Restarts, i.LastLogStart = was.Exit, was.Restarts, was.LogStart
		if step.Restart {
			i.Restarts++
		}
	}
	n := note{Unit: unit, Instance: i, Began: i.ID, Before: i.Restarts}
	if said.Code == 0 {
		return n
	}
	return *n.after(said, stamp, false, d.boot)
}

// withdraw puts the unit back as it was before a start that came to nothing, so that what stands in the stamp did run.
func (d *Driver) withdraw(ctx context.Context, l *link, f *finding, unit string, p *plan, why error) error {
	if errors.Is(why, context.Canceled) || errors.Is(why, context.DeadlineExceeded) || errors.Is(why, drivers.ErrUnreachable) {
		return nil // the manager goes on with it
	}
	_, err := l.job(ctx, "StopUnit", unit)
	if err != nil && !said(err, "NoSuchUnit") {
		return err
	}
	if !f.ours() {
		if err := d.removeUnit(f.name, unit); err != nil {
			return err
		}
		return d.forget(ctx, l, unit)
	}
	if err := d.writeUnit(f, unit, f.file.text); err != nil {
		return err
	}
	if err := l.call(ctx, "ResetFailedUnit", unit).Store(); err != nil && !said(err, "NoSuchUnit") {
		return err
	}
	return d.reread(ctx, l, unit)
}

// openLog makes the log file of a daemon that has one of its own, and returns where its next output begins. The file belongs to the daemon's account, which may want to open it
// again as /dev/stderr.
func openLog(p *plan) (int64, error) {
	if p.log == "" {
		return 0, nil
	}
	const flags = os.O_WRONLY | os.O_APPEND | os.O_CREATE | unix.O_NOFOLLOW | unix.O_NOCTTY | unix.O_NONBLOCK
	f, err := os.OpenFile(p.log, flags|os.O_EXCL, 0o640)
	if errors.Is(err, os.ErrNotExist) {
		if err := os.MkdirAll(filepath.Dir(p.log), 0o755); err != nil {
			return 0, fmt.Errorf("make the log's directory: %w: %w", err, drivers.ErrPermanent)
		}
		f, err = os.OpenFile(p.log, flags|os.O_EXCL, 0o640)
	}
	switch {
	case err == nil:
		defer f.Close()
		if p.become {
			err = f.Chown(int(p.account.UID), int(p.account.GID))
		}
	case errors.Is(err, os.ErrExist):
		if f, err = os.OpenFile(p.log, flags, 0o640); err == nil {
			defer f.Close()
		}
	}
	if err != nil {
		return 0, fmt.Errorf("open the log: %w: %w", err, drivers.ErrPermanent)
	}
	if fi, err := f.Stat(); err != nil || !fi.Mode().IsRegular() {
		return 0, err
	}
	return logfile.Position(f)
}
