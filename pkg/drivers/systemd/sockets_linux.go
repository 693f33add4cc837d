package systemd

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"

	"reconciler.dev/reconciler/internal/atomicfile"
	"reconciler.dev/reconciler/internal/failpoint"
	"reconciler.dev/reconciler/internal/sockets"
	"reconciler.dev/reconciler/pkg/drivers"
	"reconciler.dev/reconciler/pkg/spec"
)

// part is what stands in the place of a unit that is part of a daemon.
type part struct {
	text []byte
	// daemon is whose it is, ours says that we wrote it, intact that nobody edited it since.
	daemon       string
	ours, intact bool
}

// readPart reads a unit that is part of a daemon. One that can't be read is somebody else's.
func (d *Driver) readPart(unit string) part {
	path := d.scope.file(unit)
	if fi, err := os.Lstat(path); err != nil || !fi.Mode().IsRegular() {
		if errors.Is(err, fs.ErrNotExist) {
			return part{}
		}
		return part{text: []byte{}}
	}
	text, err := os.ReadFile(path)
	if err != nil {
		return part{text: []byte{}}
	}
	p := part{text: text}
	p.daemon, p.ours, p.intact = ParsePart(text)
	return p
}

// foreignPart says what stands in the place of a daemon's sockets that isn't its own, empty where nothing does.
func (d *Driver) foreignPart(p *plan) string {
	if len(p.sockets) == 0 {
		return ""
	}
	for unit, daemon := range d.parts(p) {
		have := d.readPart(unit)
		if have.text != nil && (!have.ours || have.daemon != daemon) {
			return d.scope.file(unit)
		}
		if in := d.elsewhere(unit); in != "" && have.text == nil && !masked(in) {
			return in
		}
	}
	return ""
}

// parts are the units beside the daemon's own, and whom they belong to.
func (d *Driver) parts(p *plan) map[string]string {
	all := map[string]string{waitUnit: ""}
	for _, s := range p.sockets {
		all[s.Name] = sockets.Family(p.want.Name)
	}
	return all
}

// listenLock is the name of the lock under which units of sockets come and go: the last that goes takes what all need with it.
const listenLock = "@listen"

// putSockets writes the units of the daemon's sockets.
func (d *Driver) putSockets(ctx context.Context, p *plan) error {
	if len(p.sockets) == 0 {
		return nil
	}
	lock, err := drivers.LockName(ctx, d.dirs, listenLock)
	if err != nil {
		return err
	}
	defer lock.Release()
	if err := d.putPart(waitUnit, waitText()); err != nil {
		return err
	}
	for _, s := range p.sockets {
		if err := errors.Join(d.clearDropIns(s.Name), d.putPart(s.Name, s.Text)); err != nil {
			return err
		}
	}
	failpoint.Hit(failpoint.ListenWritten)
	return nil
}

// putPart writes a unit, unless it is there as it shall be.
func (d *Driver) putPart(unit string, text []byte) error {
	have := d.readPart(unit)
	if bytes.Equal(have.text, text) {
		return nil
	}
	if err := atomicfile.MkdirAll(d.scope.units, 0o755, atomicfile.Durable); err != nil {
		return err
	}
	path := d.scope.file(unit)
	was, _ := os.Lstat(path)
	if err := atomicfile.Write(path, text, 0o644, atomicfile.Durable); err != nil {
		return err
	}
	if was == nil {
		return d.announce(0)
	}
	return outdate(path, was.ModTime().UnixNano())
}

// openSockets has the manager open the sockets of a daemon that aren't open, before the daemon is started.
func (d *Driver) openSockets(ctx context.Context, l *link, p *plan) error {
	for _, s := range p.sockets {
		if open, err := d.isOpen(ctx, l, s); err != nil || open {
			if err != nil {
				return err
			}
			continue
		}
		if err := d.closeSocket(ctx, l, s.Name); err != nil {
			return err
		}
		if err := d.openSocket(ctx, l, s); err != nil {
			return err
		}
		failpoint.Hit(failpoint.ListenOpened)
	}
	return nil
}

// isOpen tells whether a socket is open as its unit says. The file of one may have been removed, as some daemons do at their end.
func (d *Driver) isOpen(ctx context.Context, l *link, s SocketUnit) (bool, error) {
	have, err := l.states(ctx, s.Name)
	if err != nil || have.active != "active" {
		return false, err
	}
	if s.Socket.Network == "unix" {
		if fi, err := os.Lstat(s.Socket.Address); err != nil || fi.Mode().Type() != fs.ModeSocket {
			return false, nil
		}
	}
	stale, err := l.stale(ctx, s.Name, d.scope.file(s.Name), true)
	return !stale, err
}

// closeSocket has the manager close a socket, and forget that somebody waited for it.
func (d *Driver) closeSocket(ctx context.Context, l *link, unit string) error {
	for _, u := range []string{unit, waiting(unit)} {
		loaded, err := l.isLoaded(ctx, u)
		if err != nil {
			return err
		}
		if !loaded {
			continue
		}
		if _, err := l.job(ctx, "StopUnit", u); err != nil && !said(err, "NoSuchUnit") {
			return fmt.Errorf("close %s: %w", unit, err)
		}
		if err := l.call(ctx, "ResetFailedUnit", u).Store(); err != nil && !said(err, "NoSuchUnit") {
			return fmt.Errorf("close %s: %w", unit, err)
		}
	}
	return nil
}

// openSocket has the manager open a socket that is closed. systemd would take the place of one that somebody listens on.
func (d *Driver) openSocket(ctx context.Context, l *link, s SocketUnit) error {
	if err := sockets.Busy(s.Socket); err != nil {
		return drivers.ExplainSockets(err, []sockets.Socket{s.Socket})
	}
	if err := d.reread(ctx, l, s.Name); err != nil {
		return err
	}
	o, err := l.job(ctx, "StartUnit", s.Name)
	if err != nil {
		return fmt.Errorf("listen on %s: %w", s.Socket, err)
	}
	if o.result == "done" {
		return nil
	}
	_ = l.call(ctx, "ResetFailedUnit", s.Name).Store() // what failed stays loaded
	if err := sockets.Busy(s.Socket); err != nil {
		return drivers.ExplainSockets(err, []sockets.Socket{s.Socket})
	}
	if d.readPart(waitUnit).text == nil { // somebody with another state directory took it away with the last of theirs
		if err := d.putPart(waitUnit, waitText()); err != nil {
			return err
		}
		return d.openSocket(ctx, l, s)
	}
	return fmt.Errorf("listen on %s: systemd couldn't: journalctl -u %s says why", s.Socket, s.Name)
}

// listening are the units of the sockets of both instances of a daemon.
func (d *Driver) listening(name string) ([]string, error) {
	own, err := d.locate([]string{name})
	if err != nil {
		return nil, err
	}
	shared, err := d.sharedSockets(name)
	return append(socketUnits(own[0].stamp()), shared...), err
}

// Listens tells whether there are units of sockets: see drivers.Listening.
func (d *Driver) Listens(_ context.Context, name string) (bool, error) {
	units, err := d.listening(name)
	return len(units) > 0, err
}

// Unlisten closes the sockets of a daemon that doesn't run: see drivers.Listening. Their units stay, and the daemon's next start opens them.
func (d *Driver) Unlisten(ctx context.Context, name string) error {
	units, err := d.listening(name)
	if err != nil || len(units) == 0 {
		return err
	}
	l, err := d.bus.get(ctx)
	if err != nil {
		return err
	}
	for _, unit := range units {
		if err := d.closeSocket(ctx, l, unit); err != nil {
			return err
		}
		failpoint.Hit(failpoint.ListenClosed)
	}
	return nil
}

// socketDrift is what somebody changed of the units of a daemon's sockets. What is closed while the daemon runs is opened by its next start.
func (d *Driver) socketDrift(f *finding, a *around) (all []spec.Drift) {
	for i, unit := range socketUnits(f.stamp()) {
		field := fmt.Sprintf("spec.listen[%d]", i)
		add := func(want, have string, class spec.Class) {
			all = append(all, spec.Drift{Field: field, Want: want, Have: have, Class: class})
		}
		path := d.scope.file(unit)
		switch have := d.readPart(unit); {
		case have.text == nil:
			add(path, "removed", spec.Live)
		case !have.ours || !have.intact:
			add("as it was written", path+" was edited", spec.Live)
		}
		for _, in := range a.dropIns(unit, "") {
			add("no drop-in", in.path, spec.Live)
		}
		if state := f.sockets[unit]; f.alive() && state.active != "active" {
			add("open", "closed, with systemctl or by another program", spec.Restarted)
		}
	}
	return all
}
