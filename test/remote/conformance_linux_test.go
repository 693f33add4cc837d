package remote

import (
	"context"
	"fmt"
	"sync/atomic"
	"testing"

	"reconciler.dev/reconciler/pkg/drivers"
	"reconciler.dev/reconciler/pkg/drivers/driverstest"
	"reconciler.dev/reconciler/pkg/remote"
	"reconciler.dev/reconciler/pkg/remote/link"
	"reconciler.dev/reconciler/pkg/spec"
	"reconciler.dev/reconciler/test/sshlab"
)

// testConformance: the service managers of all hosts, each through its sshd, keep every promise of pkg/drivers; one of the hosts' plain processes do, too.
func testConformance(t *testing.T, s *site) {
	for i, h := range s.hosts {
		if err := sshlab.Sshd(t.Context(), h, "15-sessions", "MaxSessions 1000"); err != nil { // cases have agents of their own
			t.Fatal(err)
		}
		conn, err := link.New(link.Options{Connect: h.Dial, Home: s.home.Dir}).Dial(t.Context(), link.Target{Name: h.Name, Address: h.Addr, User: "root", HostKey: s.home.HostKey(h.Name).Line()})
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { conn.Close() })
		kinds := []spec.DriverKind{spec.DriverSystemd}
		if i == 0 {
			kinds = append(kinds, spec.DriverProcess)
		}
		for _, kind := range kinds {
			t.Run(h.Name+" "+string(kind), func(t *testing.T) {
				t.Parallel()
				m, cases := newMachine(t, h, string(kind)), &atomic.Int64{}
				driverstest.Run(t, func(t *testing.T) driverstest.Subject { return subject(t, conn, m, kind, cases.Add(1)) })
			})
		}
	}
}

// subject is a driver of a host behind a link, with a directory of its own there.
func subject(t *testing.T, conn link.Opener, m machine, kind spec.DriverKind, n int64) driverstest.Subject {
	dir, prefix := m.Dir(t), fmt.Sprintf("%.1s%d-", kind, n)
	open := func() drivers.Driver {
		ctx := context.WithoutCancel(t.Context()) // it is asked for when a case is cleaned up, too
		stream, err := conn.Open(ctx, "exec env RECONCILER_STATE_DIR="+dir+" "+agentAt+" agent")
		if err != nil {
			t.Fatal(err)
		}
		host, err := remote.Connect(ctx, stream, remote.ConnectOptions{Name: m.h.Name})
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() {
			if err := host.Close(); err != nil {
				t.Error(err)
			}
		})
		d, err := host.Driver(kind)
		if err != nil {
			t.Fatal(err)
		}
		checker, ok := drivers.Find[drivers.Checker](d)
		if !ok {
			t.Fatalf("the %s driver of %s is no Checker", kind, m.h.Name)
		}
		return driverstest.Rename(struct {
			drivers.Driver
			drivers.Checker
		}{d, checker}, prefix)
	}
	systemd := kind == spec.DriverSystemd
	one := driverstest.Subject{
		Driver: open(), Reopen: open, Machine: m, Dirs: []string{m.seen(dir)}, Supervises: systemd, EndsWithMain: systemd,
	}
	if systemd {
		one.Foreign = func(name string) error {
			return m.Write("/etc/systemd/system/"+prefix+name+".service", driverstest.File{Content: []byte("[Service]\nExecStart=/bin/true\n"), Mode: 0o644})
		}
	}
	return one
}

// agentAt is where hosts have the program under test, for those who don't have it copied.
const agentAt = "/usr/local/bin/reconciler"
