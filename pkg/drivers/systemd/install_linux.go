package systemd

import (
	"bytes"
	"context"
	"fmt"
	"os"
	"path/filepath"
	"time"

	"golang.org/x/sys/unix"

	"reconciler.dev/reconciler/internal/atomicfile"
	"reconciler.dev/reconciler/internal/failpoint"
	"reconciler.dev/reconciler/pkg/drivers"
	"reconciler.dev/reconciler/pkg/spec"
)

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
		return "", standsThere(foreign, "unit "+unit)
	}
	return unit, nil
}

// standsThere says that something isn't ours.
func standsThere(what, place string) error {
	return fmt.Errorf("%s stands in the place of %s and doesn't carry our stamp; rename the daemon, or remove that first: %w", what, place, drivers.ErrConflict)
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
func (d *Driver) install(ctx context.Context, f *finding, unit string, p *plan) error {
	if err := d.clearDropIns(unit); err != nil {
		return err
	}
	if err := d.writeSecrets(p); err != nil {
		return err
	}
	return d.put(ctx, f, unit, p)
}

// put writes the unit file, and before it what that calls, and the link that has it started at boot.
func (d *Driver) put(ctx context.Context, f *finding, unit string, p *plan) error {
	if err := d.putSockets(ctx, p); err != nil { // before the unit that requires them
		return err
	}
	if p.callsTool {
		if err := d.keepTool(ctx); err != nil {
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
