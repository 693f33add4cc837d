package main

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"sync/atomic"

	systemd "github.com/coreos/go-systemd/v22/dbus"
	"github.com/godbus/dbus/v5"
)

// manager asks systemd for jobs as plainly as a program can, and counts its reloads.
type manager struct {
	conn   *systemd.Conn
	bus    *dbus.Conn
	reload atomic.Int64
}

func newManager(ctx context.Context) (*manager, error) {
	conn, err := systemd.NewSystemdConnectionContext(ctx)
	if err != nil {
		return nil, fmt.Errorf("connect to systemd: %w", err)
	}
	bus, err := dbus.ConnectSystemBus(dbus.WithContext(ctx))
	if err != nil {
		conn.Close()
		return nil, fmt.Errorf("connect to the system bus: %w", err)
	}
	m := &manager{conn: conn, bus: bus}
	signals := make(chan *dbus.Signal, 4096)
	bus.Signal(signals)
	manager := bus.Object("org.freedesktop.systemd1", "/org/freedesktop/systemd1")
	err = errors.Join(
		bus.AddMatchSignal(dbus.WithMatchInterface("org.freedesktop.systemd1.Manager"), dbus.WithMatchMember("Reloading")),
		manager.Call("org.freedesktop.systemd1.Manager.Subscribe", 0).Err)
	if err != nil {
		m.close()
		return nil, fmt.Errorf("listen for reloads: %w", err)
	}
	go func() {
		for s := range signals {
			if len(s.Body) == 1 && s.Body[0] == true {
				m.reload.Add(1)
			}
		}
	}()
	return m, nil
}

// reloads is how often systemd has been told to reread all of its units.
func (m *manager) reloads() int64 { return m.reload.Load() }

func (m *manager) close() {
	m.conn.Close()
	_ = m.bus.Close() // nothing is left to send
}

// start starts units and waits for their jobs.
func (m *manager) start(ctx context.Context, units []string) error {
	return m.jobs(units, func(unit string, done chan<- string) error {
		_, err := m.conn.StartUnitContext(ctx, unit, "replace", done)
		return err
	})
}

// stop stops units and waits for their jobs.
func (m *manager) stop(ctx context.Context, units []string) error {
	return m.jobs(units, func(unit string, done chan<- string) error {
		_, err := m.conn.StopUnitContext(ctx, unit, "replace", done)
		return err
	})
}

// askers is how many jobs are asked for at once; PID 1 answers one after the other anyway.
const askers = 32

func (m *manager) jobs(units []string, ask func(unit string, done chan<- string) error) error {
	var wg sync.WaitGroup
	places, errs := make(chan struct{}, askers), make([]error, len(units))
	for i, u := range units {
		places <- struct{}{}
		wg.Go(func() {
			defer func() { <-places }()
			done := make(chan string, 1)
			if errs[i] = ask(u, done); errs[i] != nil {
				return
			}
			if result := <-done; result != "done" {
				errs[i] = fmt.Errorf("the job of %s ended as %s", u, result)
			}
		})
	}
	wg.Wait()
	return errors.Join(errs...)
}
