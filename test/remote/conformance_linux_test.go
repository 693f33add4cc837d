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

// shares are how many of the hosts it takes for a whole suite: each case is run on every other host.
const shares = 2

// testConformance: the service managers of all hosts, at the same time and each through its sshd, keep every promise of pkg/drivers.
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
		t.Run(h.Name, func(t *testing.T) {
			t.Parallel()
			m, cases := newMachine(t, h, "systemd"), &atomic.Int64{}
			driverstest.RunShare(t, i%shares, shares, func(t *testing.T) driverstest.Subject {
				dir, prefix := m.Dir(t), fmt.Sprintf("s%d-", cases.Add(1))
				open := func() drivers.Driver {
					return driverstest.Rename(driverBehind(t, conn, h.Name, agentAt, spec.DriverSystemd, dir), prefix)
				}
				return driverstest.Subject{
					Driver: open(), Reopen: open, Machine: m, Dirs: []string{m.seen(dir)}, Supervises: true, EndsWithMain: true,
					Foreign: func(name string) error {
						return m.Write("/etc/systemd/system/"+prefix+name+".service", driverstest.File{Content: []byte("[Service]\nExecStart=/bin/true\n"), Mode: 0o644})
					},
				}
			})
		})
	}
}

// checked is a driver that checks daemons, too.
type checked struct {
	drivers.Driver
	drivers.Checker
}

// driverBehind starts an agent, that program, which keeps its state in dir, at the end of a link, and returns its driver of that kind. It lives as long as the test.
func driverBehind(t *testing.T, conn link.Opener, name, agent string, kind spec.DriverKind, dir string) checked {
	ctx := context.WithoutCancel(t.Context()) // it is asked for when a case is cleaned up, too
	stream, err := conn.Open(ctx, "exec env RECONCILER_STATE_DIR="+dir+" "+agent+" agent")
	if err != nil {
		t.Fatal(err)
	}
	host, err := remote.Connect(ctx, stream, remote.ConnectOptions{Name: name})
	if err != nil {
		t.Fatalf("%v: the agent ended with %v and said %q", err, stream.Wait(), stream.Stderr())
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
		t.Fatalf("the %s driver of %s is no Checker", kind, name)
	}
	return checked{d, checker}
}

// agentAt is where hosts have the program under test, for those who don't have it copied.
const agentAt = "/usr/local/bin/reconciler"
