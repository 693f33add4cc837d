package main

import (
	"time"

	"reconciler.dev/reconciler/pkg/drivers"
	"reconciler.dev/reconciler/pkg/drivers/driverstest"
	"reconciler.dev/reconciler/pkg/spec"
)

// fallbackSession is that of a machine without systemd and a cgroup tree to write to, which gets systemd later.
func fallbackSession(d *desk) {
	d.host.Lacks(
		&drivers.Unavailable{Kind: spec.DriverSystemd, Reason: "systemd isn't the first process of this machine"},
		&drivers.Unavailable{Kind: spec.DriverCgroup, Reason: "no cgroup v2 is mounted", Remedy: "mount -t cgroup2 cgroup2 /sys/fs/cgroup"},
	)
	d.must(0, "apply", "-f", ".")
	d.must(0, "apply", "-f", ".")
	d.must(0, "get", "-o", "wide")
	d.must(0, "describe", "web")
	d.must(0, "get", "web", "-o", "yaml")
	d.edit("web.yaml", "64M", "64M, required: true")
	d.must(4, "apply", "-f", ".")

	time.Sleep(time.Hour)
	d.host.Gains(driverstest.NewFake().As(spec.DriverSystemd).Enforces())
	d.note("the machine is booted with systemd")
	d.must(1, "diff", "-f", "db.yaml")
	d.must(1, "diff", "-f", "db.yaml", "-o", "json")
	d.must(0, "apply", "-f", "db.yaml")
	d.must(0, "apply", "-f", "web.yaml")
	d.must(0, "diff", "-f", ".")
	d.must(0, "get", "-o", "wide")
	d.must(0, "describe", "web")
	d.must(0, "get", "web", "-o", "yaml")
	d.edit("db.yaml", "spec:\n", "spec:\n  driver: process\n")
	d.must(1, "diff", "-f", "db.yaml")
	d.must(0, "apply", "-f", ".")
	d.must(0, "get", "-o", "wide")
}
