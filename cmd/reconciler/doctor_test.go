package main

import (
	"net/netip"
	"testing"

	"github.com/google/go-cmp/cmp"

	"reconciler.dev/reconciler/internal/doctor"
	"reconciler.dev/reconciler/pkg/drivers"
	"reconciler.dev/reconciler/pkg/drivers/driverstest"
	"reconciler.dev/reconciler/pkg/spec"
)

// doctorSession asks for a machine without systemd and cgroups, then for one that has got both.
func doctorSession(d *desk) {
	d.facts = doctor.Facts{
		Platform: doctor.Platform{OS: "linux", Arch: "amd64", Kernel: "6.1.0", Distribution: "Debian GNU/Linux 12 (bookworm)"},
		User:     "root", Init: "tini", Clock: doctor.Clock{Known: true, Synchronised: true},
		Dirs: []doctor.Dir{{Name: "state", Path: "/var/lib/reconciler", Free: 50 << 30, Size: 100 << 30, FreeFiles: 1000, Files: 2000}},
	}
	lacks := []*drivers.Unavailable{
		{Kind: spec.DriverSystemd, Reason: "systemd isn't the first process of this machine"},
		{Kind: spec.DriverCgroup, Reason: "no cgroup2 file system is mounted", Remedy: "as root: mount -t cgroup2 cgroup2 /sys/fs/cgroup"},
	}
	d.host.Lacks(lacks...)
	d.must(0, "doctor")
	d.must(0, "doctor", "-f", ".")
	d.edit("web.yaml", "64M", "64M, required: true")
	d.edit("db.yaml", "/bin/sleep", "/bin/no-such-program")
	d.must(1, "doctor", "-f", ".", "-l", "tier=front")
	d.edit("db.yaml", "/bin/no-such-program", "/bin/sleep\n  user: no-such-user")
	d.must(1, "doctor", "-f", ".")

	d.note("the machine is booted with systemd, and its disk fills")
	d.host.Gains(driverstest.NewFake().As(spec.DriverCgroup).Enforces())
	d.host.Gains(driverstest.NewFake().As(spec.DriverSystemd).Enforces())
	d.facts.Init, d.facts.Systemd, d.facts.SystemdVersion = "systemd", true, "252"
	d.facts.Cgroup = doctor.Cgroup{Mount: "/sys/fs/cgroup", Group: "/", Has: []string{"cpu", "io", "memory", "pids"}}
	d.facts.Dirs[0].Free = 0
	d.must(1, "doctor", "-o", "json")
	d.must(1, "doctor", "--host=elsewhere")
	d.must(2, "doctor", "web")
}

func TestLocalPorts(t *testing.T) {
	s := spec.Spec{
		Health: &spec.Health{URL: "http://localhost/healthz"}, Reload: &spec.Reload{URL: "https://[::1]/reload"},
		Stop: spec.Stop{URL: "http://127.0.0.1:8080/stop"},
	}
	at := func(field, addr string) place { return place{field, netip.MustParseAddrPort(addr)} }
	want := []place{at("spec.health.url", "127.0.0.1:80"), at("spec.stop.url", "127.0.0.1:8080"), at("spec.reload.url", "[::1]:443")}
	if diff := cmp.Diff(want, localPorts(s), cmp.AllowUnexported(place{}), cmp.Comparer(func(a, b netip.AddrPort) bool { return a == b })); diff != "" {
		t.Error(diff)
	}
	for _, elsewhere := range []string{"10.0.0.1:80", "example.org:80", "127.0.0.1", "127.0.0.1:http", ""} {
		if got := localPorts(spec.Spec{Health: &spec.Health{TCP: elsewhere}}); got != nil {
			t.Errorf("%q: got %v", elsewhere, got)
		}
	}
	twice := spec.Spec{Health: &spec.Health{TCP: "127.0.0.1:80"}, Stop: spec.Stop{URL: "http://127.0.0.1/stop"}}
	if got := localPorts(twice); len(got) != 1 {
		t.Errorf("got %v, want one", got)
	}
}
