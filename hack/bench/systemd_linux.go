package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"time"
)

// systemd measures the systemd driver on a host that systemd booted, beside plain systemd: the same units under other names, started by jobs.
func (b *bench) systemd(ctx context.Context) (rows []row, err error) {
	m, err := newManager(ctx)
	if err != nil {
		return nil, err
	}
	defer m.close()
	var ours startStop
	var plain, plainStop figures
	for range b.rounds {
		units, err := b.systemdOurs(ctx, &ours)
		if err != nil {
			return nil, err
		}
		if err := b.systemdPlain(ctx, m, units, &plain, &plainStop); err != nil {
			return nil, err
		}
		b.progress("systemd, start %d: plain %s ms, ours %s ms", b.n, short(plain[len(plain)-1]), short(ours.started[len(ours.started)-1]))
	}
	changes, err := b.systemdChanges(ctx, m)
	if err != nil {
		return nil, err
	}
	healed, err := b.systemdHeal(ctx, m)
	if err != nil {
		return nil, err
	}
	rows = []row{
		{what: fmt.Sprintf("systemd, apply: start of %d, to the last main()", b.n), unit: "ms", ours: ours.started, floor: plain, bar: 1.15, peer: "plain StartUnit jobs"},
		{what: fmt.Sprintf("systemd, apply: nothing to do, %d in %d files", b.n, b.n), unit: "ms", ours: ours.noop, bar: 100, peer: "584 ms systemctl start"},
		{what: fmt.Sprintf("systemd, stop of %d, to the last end", b.n), unit: "ms", ours: ours.gone, floor: plainStop, peer: "plain StopUnit jobs"},
	}
	return append(append(rows, changes...), healed), nil
}

// systemdOurs is a round of ours. It returns the settings of the units that it made, by name.
func (b *bench) systemdOurs(ctx context.Context, took *startStop) (units map[string]string, err error) {
	before := *took
	err = b.startStopFleet(ctx, took, func(f *fleet) error {
		units, err = readUnits(f.names)
		return err
	})
	if err != nil {
		*took = before
	}
	return units, err
}

const unitDir = "/etc/systemd/system"

// readUnits returns the files of our units, less the section that systemd ignores.
func readUnits(names []string) (map[string]string, error) {
	units := map[string]string{}
	for _, n := range names {
		text, err := os.ReadFile(filepath.Join(unitDir, n+".service"))
		if err != nil {
			return nil, err
		}
		settings, _, _ := strings.Cut(string(text), "[X-")
		units[n] = settings
	}
	return units, nil
}

// systemdPlain starts the same units as plain systemd does: files, then a job for each.
func (b *bench) systemdPlain(ctx context.Context, m *manager, units map[string]string, started, stopped *figures) (err error) {
	mains := b.freshMains()
	var names []string
	defer func() {
		for _, n := range names {
			err = errors.Join(err, os.Remove(filepath.Join(unitDir, n)))
		}
	}()
	for n, text := range units {
		id := "p" + n[1:]
		for line := range strings.SplitSeq(text, "\n") {
			if strings.HasPrefix(line, "ExecStart=") {
				text = strings.Replace(text, line, fmt.Sprintf("ExecStart=%s %s %s", b.tinyd, string(mains), id), 1)
			}
		}
		if err := os.WriteFile(filepath.Join(unitDir, id+".service"), []byte(text), 0o644); err != nil {
			return err
		}
		names = append(names, id+".service")
	}
	t0 := time.Now()
	if err := m.start(ctx, names); err != nil {
		return err
	}
	all, err := mains.await(ctx, 0, len(names))
	if err != nil {
		return errors.Join(err, m.stop(ctx, names))
	}
	started.took(last(all).Sub(t0))
	t0 = time.Now()
	err = m.stop(ctx, names)
	stopped.took(time.Since(t0))
	return err
}

// aftermath is how long a manager, its bus and its journal are still busy with a job that has ended; what is measured next isn't to pay for it, be it ours or the floor's.
const aftermath = 500 * time.Millisecond

// systemdChanges measures one new and one changed daemon among all, and counts the daemon-reloads.
func (b *bench) systemdChanges(ctx context.Context, m *manager) (rows []row, err error) {
	f, err := b.fleet(b.n)
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, f.remove(context.WithoutCancel(ctx))) }()
	if _, err := f.do(ctx, "apply", "-f", f.manifests); err != nil {
		return nil, err
	}
	reloads := m.reloads()
	if _, err := f.do(ctx, "apply", "-f", f.manifests); err != nil {
		return nil, err
	}
	idle := m.reloads() - reloads
	units, err := readUnits(f.names[:b.rounds])
	if err != nil {
		return nil, err
	}
	plain, err := b.plainTwins(ctx, m, f, units)
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, plain.remove(context.WithoutCancel(ctx), m)) }()
	var changed, added figures
	reloads = m.reloads()
	for k := range b.rounds {
		own, err := plain.change(ctx, m, k)
		if err != nil {
			return nil, err
		}
		if err := errors.Join(f.declare(f.names[k], fmt.Sprintf("  env: {ROUND: '%d'}\n", k)), pause(ctx, aftermath)); err != nil {
			return nil, err
		}
		took, err := f.do(ctx, "apply", "-f", f.manifests)
		if err != nil {
			return nil, err
		}
		changed.took(took - own)
		if err := pause(ctx, aftermath); err != nil {
			return nil, err
		}
		if own, err = plain.add(ctx, m, fmt.Sprintf("q%03d.service", k)); err != nil {
			return nil, err
		}
		if err := errors.Join(f.declare(fmt.Sprintf("u%03d", k), ""), pause(ctx, aftermath)); err != nil {
			return nil, err
		}
		if took, err = f.do(ctx, "apply", "-f", f.manifests); err != nil {
			return nil, err
		}
		added.took(took - own)
		if err := pause(ctx, aftermath); err != nil {
			return nil, err
		}
	}
	return []row{
		{what: "systemd, apply: nothing to do, daemon-reloads", ours: figures{float64(idle)}, bar: 0.5},
		{what: fmt.Sprintf("systemd, apply: one changed of %d, above its own stop and start", b.n), unit: "ms", ours: changed, bar: 60},
		{what: fmt.Sprintf("systemd, apply: one more than %d, above its own start", b.n), unit: "ms", ours: added, bar: 60},
		{what: "systemd, apply: one changed or new, daemon-reloads", ours: figures{float64(m.reloads() - reloads)}, bar: 0.5},
	}, nil
}

// systemdHeal kills units of ours and units of plain systemd with the same settings by turns.
func (b *bench) systemdHeal(ctx context.Context, m *manager) (r row, err error) {
	f, err := b.fleet(b.few)
	if err != nil {
		return r, err
	}
	defer func() { err = errors.Join(err, f.remove(context.WithoutCancel(ctx))) }()
	if _, err := f.do(ctx, "apply", "-f", f.manifests); err != nil {
		return r, err
	}
	units, err := readUnits(f.names[:b.kills])
	if err != nil {
		return r, err
	}
	plain, err := b.plainTwins(ctx, m, f, units)
	if err != nil {
		return r, err
	}
	defer func() { err = errors.Join(err, plain.remove(context.WithoutCancel(ctx), m)) }()
	victims, err := f.mains.await(ctx, 0, b.few+b.kills)
	if err != nil {
		return r, err
	}
	if err := pause(ctx, settle); err != nil {
		return r, err
	}
	var ours, theirs figures
	for seen := len(victims); len(ours) < b.kills || len(theirs) < b.kills; seen++ {
		took, to := &ours, "t"
		if len(theirs) < len(ours) {
			took, to = &theirs, "p"
		}
		id := fmt.Sprintf("%s%03d", to, len(*took))
		t0 := time.Now()
		if err := syscall.Kill(pidOf(victims, id), syscall.SIGKILL); err != nil {
			return r, fmt.Errorf("kill -9 %s: %w", id, err)
		}
		again, err := f.mains.await(ctx, seen, 1)
		if err != nil {
			return r, err
		}
		if again[0].id != id {
			return r, fmt.Errorf("kill -9 of %s was followed by a start of %s", id, again[0].id)
		}
		took.took(again[0].at.Sub(t0))
	}
	b.progress("systemd, heal: plain %s, ours %s", theirs.text("ms"), ours.text("ms"))
	return row{what: "systemd: kill -9 to the replacement's main()", unit: "ms", ours: ours, floor: theirs, bar: 1.1, peer: "the same RestartSec"}, nil
}

func pidOf(all []began, id string) (pid int) {
	for _, b := range all {
		if b.id == id {
			pid = b.pid
		}
	}
	return pid
}

// twins are units of plain systemd with the settings of ours.
type twins []string

// plainTwins starts a twin of each of units, which write to f's mains.
func (b *bench) plainTwins(ctx context.Context, m *manager, f *fleet, units map[string]string) (t twins, err error) {
	for n, text := range units {
		id := "p" + n[1:]
		for line := range strings.SplitSeq(text, "\n") {
			if strings.HasPrefix(line, "ExecStart=") {
				text = strings.Replace(text, line, fmt.Sprintf("ExecStart=%s %s %s", b.tinyd, string(f.mains), id), 1)
			}
		}
		if err := os.WriteFile(filepath.Join(unitDir, id+".service"), []byte(text), 0o644); err != nil {
			return t, err
		}
		t = append(t, id+".service")
	}
	return t, m.start(ctx, t)
}

// change changes the file of the kth, and returns what a stop and a start take that read it.
func (t twins) change(ctx context.Context, m *manager, k int) (time.Duration, error) {
	path := filepath.Join(unitDir, t[k])
	text, err := os.ReadFile(path)
	if err == nil {
		changed := strings.Replace(string(text), "[Service]\n", fmt.Sprintf("[Service]\nEnvironment=ROUND=%d\n", k), 1)
		err = os.WriteFile(path, []byte(changed), 0o644)
	}
	if err != nil {
		return 0, err
	}
	t0 := time.Now()
	err = errors.Join(m.stop(ctx, t[k:k+1]), m.start(ctx, t[k:k+1]))
	return time.Since(t0), err
}

// add writes one more unit, like the first, and returns what its start takes.
func (t *twins) add(ctx context.Context, m *manager, name string) (time.Duration, error) {
	text, err := os.ReadFile(filepath.Join(unitDir, (*t)[0]))
	if err == nil {
		err = os.WriteFile(filepath.Join(unitDir, name), text, 0o644)
	}
	if err != nil {
		return 0, err
	}
	*t = append(*t, name)
	t0 := time.Now()
	err = m.start(ctx, []string{name})
	return time.Since(t0), err
}

func (t twins) remove(ctx context.Context, m *manager) error {
	err := m.stop(ctx, t)
	for _, n := range t {
		err = errors.Join(err, os.Remove(filepath.Join(unitDir, n)))
	}
	return err
}
