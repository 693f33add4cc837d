package systemd

import (
	"context"
	"errors"
	"io/fs"
	"os"
	"slices"
	"strings"
	"time"

	"reconciler.dev/reconciler/internal/atomicfile"
	"reconciler.dev/reconciler/internal/failpoint"
	"reconciler.dev/reconciler/internal/sockets"
	"reconciler.dev/reconciler/pkg/drivers"
	"reconciler.dev/reconciler/pkg/spec"
)

// dropSockets closes the sockets of a stamp that next, which may be nil, doesn't have, and that no other instance of the daemon has, and removes their units.
func (d *Driver) dropSockets(ctx context.Context, l *link, s *spec.Stamp, next []SocketUnit) error {
	if s == nil || len(s.Spec.Listen) == 0 {
		return nil
	}
	keep, err := d.sharedSockets(s.Name)
	if err != nil {
		return err
	}
	for _, u := range next {
		keep = append(keep, u.Name)
	}
	lock, err := drivers.LockName(ctx, d.dirs, listenLock)
	if err != nil {
		return err
	}
	defer lock.Release()
	for _, unit := range socketUnits(s) {
		if slices.Contains(keep, unit) {
			continue
		}
		if err := d.closeSocket(ctx, l, unit); err != nil {
			return err
		}
		failpoint.Hit(failpoint.ListenClosed)
		if have := d.readPart(unit); have.ours {
			if err := errors.Join(d.clearDropIns(unit), atomicfile.Remove(d.scope.file(unit), atomicfile.Durable)); err != nil {
				return err
			}
		}
	}
	return d.dropWaitUnit()
}

// putOldSockets puts back the units of the sockets that the stamp has and a start that came to nothing, p, hadn't, and takes away those that only that one had.
func (d *Driver) putOldSockets(ctx context.Context, l *link, s *spec.Stamp, p *plan) error {
	facts, err := d.facts(ctx)
	if err != nil {
		return err
	}
	account, _, err := d.account(s.Spec.User, s.Spec.Group)
	if err != nil {
		return err
	}
	r := &renderer{d: &spec.Daemon{Metadata: s.Metadata, Spec: s.Spec}, facts: facts, account: account}
	r.sockets()
	if err := errors.Join(r.problems...); err != nil {
		return err
	}
	if err := d.dropSockets(ctx, l, p.stamp, r.unit.Sockets); err != nil {
		return err
	}
	return d.putSockets(ctx, &plan{want: r.d, sockets: r.unit.Sockets})
}

// dropWaitUnit removes what all sockets need, where there are none. Who keeps another state directory doesn't wait for our lock: what came meanwhile gets it back, and see openSocket.
func (d *Driver) dropWaitUnit() error {
	if some, err := d.anySocket(); some || err != nil || !d.readPart(waitUnit).ours {
		return err
	}
	if err := atomicfile.Remove(d.scope.file(waitUnit), atomicfile.Durable); err != nil {
		return err
	}
	if some, err := d.anySocket(); !some || err != nil {
		return err
	}
	return d.putPart(waitUnit, waitText())
}

// anySocket tells whether there is a unit of a socket, whichever daemon's.
func (d *Driver) anySocket() (bool, error) {
	entries, err := os.ReadDir(d.scope.units)
	return slices.ContainsFunc(entries, func(e os.DirEntry) bool {
		return strings.HasSuffix(e.Name(), ".socket") && d.readPart(e.Name()).ours
	}), err
}

// socketUnits are the units of the sockets of a stamp, which may be nil.
func socketUnits(s *spec.Stamp) (units []string) {
	if s == nil {
		return nil
	}
	for _, text := range s.Spec.Listen {
		if x, err := spec.ParseSocket(text); err == nil {
			units = append(units, socketUnit(s.Name, sockets.Socket{Network: x.Network, Address: x.Address}))
		}
	}
	return units
}

// sharedSockets are the units of sockets that the other instance of a daemon has, if there is one.
func (d *Driver) sharedSockets(name string) (units []string, err error) {
	first, slot := spec.LogicalName(name)
	if slot == 0 {
		return socketUnits(d.locateNear(spec.SecondName(name), "").stamp()), nil
	}
	finds, err := d.locate([]string{first})
	if err != nil {
		return nil, err
	}
	return socketUnits(finds[0].stamp()), nil
}

// sweepSockets removes the units of sockets that no daemon has: a start that was killed leaves them where nobody tries it again.
func (d *Driver) sweepSockets(ctx context.Context, found map[string]*unitFile) error {
	wanted := map[string]bool{}
	for _, f := range found {
		if f.stamp == nil {
			return nil // whose unit can't be read may want any
		}
		for _, unit := range socketUnits(f.stamp) {
			wanted[unit] = true
		}
	}
	entries, err := os.ReadDir(d.scope.units)
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	var errs []error
	for _, e := range entries {
		if !strings.HasSuffix(e.Name(), ".socket") || wanted[e.Name()] {
			continue
		}
		if p := d.readPart(e.Name()); p.ours && p.daemon != "" {
			errs = append(errs, d.sweepSocket(ctx, e.Name(), p.daemon))
		}
	}
	return errors.Join(errs...)
}

// sweepSocket removes the unit of a socket, where nobody is at its daemon and it wasn't just made.
func (d *Driver) sweepSocket(ctx context.Context, unit, daemon string) error {
	lock := d.tryLock(daemon)
	if lock == nil {
		return nil
	}
	defer lock.Release()
	fi, err := os.Lstat(d.scope.file(unit))
	if err != nil || time.Since(fi.ModTime()) < atomicfile.Stale {
		return nil
	}
	l, err := d.bus.get(ctx)
	if err != nil {
		return err
	}
	gone, err := drivers.LockName(ctx, d.dirs, listenLock)
	if err != nil {
		return err
	}
	defer gone.Release()
	if err := d.closeSocket(ctx, l, unit); err != nil {
		return err
	}
	return errors.Join(atomicfile.Remove(d.scope.file(unit), atomicfile.Durable), d.dropWaitUnit())
}
