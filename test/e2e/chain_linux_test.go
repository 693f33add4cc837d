package e2e

import (
	"fmt"
	"strconv"
	"strings"
	"testing"

	"reconciler.dev/reconciler/test/labhost"
)

const limited = `apiVersion: reconciler.dev/v1
kind: DaemonSpec
metadata: {name: web}
spec:
  binary: /bin/sleep
  args: ["1000004"]
  stop: {gracePeriod: 2s}
  cgroup: {slice: shop.slice, memoryLimit: 64M, pidsLimit: 50, cpuLimit: 50%, required: false}
`

// TestTheChainOfDrivers applies one manifest on three hosts: with systemd, with cgroups alone, with neither. Each runs the daemon as well as it can and says why not better.
func TestTheChainOfDrivers(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		kind   labhost.Kind
		driver string
		missed map[string]string // why it isn't a better driver
	}{
		{labhost.Systemd, "systemd", map[string]string{}},
		{labhost.Cgroup, "cgroup", map[string]string{"systemd": "systemd isn't the first process"}},
		{labhost.Bare, "process", map[string]string{"systemd": "systemd isn't the first process", "cgroup": "no cgroup2 file system is mounted"}},
	} {
		t.Run(string(c.kind), func(t *testing.T) {
			t.Parallel()
			h := newRemote(t, c.kind)
			h.put("/etc/daemons/web.yaml", limited)
			said := h.ok("reconciler", "apply", "-f", "/etc/daemons/web.yaml", "--wait").stderr
			now := h.untilRunning("web")["web"]
			if now.Driver != c.driver {
				t.Fatalf("it is run by %s, want %s", now.Driver, c.driver)
			}
			describe, wide := h.ok("reconciler", "describe", "web").stdout, h.ok("reconciler", "get", "-o", "wide").stdout
			events := h.ok("reconciler", "events", "--for", "web").stdout
			for kind, why := range c.missed {
				h.shows("apply", said, fmt.Sprintf("Note: running under %s, not %s: %s", c.driver, kind, why))
				h.shows("describe", describe, fmt.Sprintf("%-14s%s", "Not "+kind+":", why))
				h.shows("get -o wide", wide, "not "+kind+": "+why)
				h.shows("events", events, "DriverFallback")
			}
			if len(now.Fallback) != len(c.missed) {
				t.Errorf("it says that it misses %v", now.Fallback)
			}
			if c.driver == "systemd" {
				h.shows("describe", describe, "Cgroup:       /shop.slice/web.service")
			}
			for _, field := range []string{"cgroup.memoryLimit", "cgroup.pidsLimit", "cgroup.cpuLimit"} {
				_, enforced := now.Limits.Enforced[field]
				why, lost := now.Limits.Lost[field]
				if enforced == lost || lost && why == "" {
					t.Errorf("%s: enforced %t, lost %t (%s)", field, enforced, lost, why)
				}
				if lost {
					h.shows("apply", said, "spec."+field+" is not enforced here: "+why)
					h.shows("events", events, "LimitLost")
				}
			}
			h.heals(c.driver, now)
			h.ok("reconciler", "delete", "web")
			if left := h.run("pgrep", "-f", "sleep 100000[4]"); left.code == 0 {
				t.Errorf("deleted, and there is still %s", left.stdout)
			}
			h.noCgroupsLeft(c.driver)
		})
	}
}

// shows fails where what a command said lacks something.
func (r *remote) shows(what, said, want string) {
	r.t.Helper()
	if !strings.Contains(said, want) {
		r.t.Errorf("%s lacks %q:\n%s", what, want, said)
	}
}

// heals kills web and waits until it runs again: by its platform, or else by a run, whose end leaves it alone.
func (r *remote) heals(driver string, before status) {
	r.t.Helper()
	if driver != "systemd" {
		ctx := r.t.Context()
		run := r.Command(ctx, "reconciler", "run", "-f", "/etc/daemons")
		if err := run.Start(); err != nil {
			r.t.Fatal(err)
		}
		r.until("the run keeps web", func() bool { return strings.Contains(r.ok("reconciler", "describe", "web").stdout, "Kept by:") })
		defer func() {
			r.ok("pkill", "-INT", "-f", "reconciler run")
			_ = run.Wait()
		}()
	}
	r.ok("kill", "-9", strconv.Itoa(before.PID))
	r.until("web runs again", func() bool { now := r.get()["web"]; return now.Phase == "Running" && now.PID != before.PID })
}

// noCgroupsLeft checks that the daemon's cgroups went with it. Slices of its own systemd keeps.
func (r *remote) noCgroupsLeft(driver string) {
	r.t.Helper()
	name := "*shop*"
	if driver == "systemd" {
		name = "web.service"
	}
	if found := r.run("find", "/sys/fs/cgroup", "-type", "d", "-name", name).stdout; found != "" {
		r.t.Errorf("cgroups left: %s", found)
	}
}
