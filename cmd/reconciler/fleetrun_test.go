package main

import (
	"errors"
	"os"
	"strings"
	"testing"

	"reconciler.dev/reconciler/pkg/drivers"
	"reconciler.dev/reconciler/pkg/drivers/driverstest"
	"reconciler.dev/reconciler/pkg/spec"
)

// newFleetDesk is a desk before other machines, outside of any bubble.
func newFleetDesk(t *testing.T) *desk {
	t.Helper()
	d := newDesk(t)
	d.settleFleet()
	return d
}

// TestRunKeepsAFleet follows a run on several hosts through the loss of a link, deaths on both sides of it, and hosts that come and go in the manifests.
func TestRunKeepsAFleet(t *testing.T) {
	d := newFleetDesk(t)
	out, errOut, interrupt := d.start("run", "-f", ".")
	out.shows(t, "keep: set default on localhost, gpu-1, gpu-2, ann@old from .", 1)
	for _, line := range []string{" daemon/db: created", " gpu-1: daemon/web: created", " gpu-2: daemon/web: created", " ann@old: daemon/batch: created", " gpu-2: fallback: running under process"} {
		out.shows(t, line, 1)
	}

	d.write("db.yaml", "{apiVersion: reconciler.dev/v1, kind: DaemonSpec, metadata: {name: db}, spec: {binary: /bin/sleep, host: gpu-2}}")
	out.shows(t, " gpu-2: daemon/db: created", 1)

	d.cut("gpu-2")
	out.shows(t, "gpu-2: unreachable: ", 1)
	far := d.far["gpu-2"].Host().Fake()
	far.Crash("db", spec.Exit{Known: true, Signal: "SIGKILL"})
	d.edit("web.yaml", "Never", "OnFailure")
	out.shows(t, " gpu-1: daemon/web: configured", 1)
	if n := far.Alive("db"); n != 0 {
		t.Errorf("%d processes of db were started over a link that is cut", n)
	}
	d.far["gpu-2"].Mend()
	dials := d.far["gpu-2"].Dials()
	for d.far["gpu-2"].Dials() < dials+2 { // it is reached, and holds the set for a link that is gone
		out.shows(t, "", 0)
	}
	d.far["gpu-2"].Notice()
	out.shows(t, "gpu-2: reachable again", 1)
	out.shows(t, " gpu-2: daemon/db: healed", 1)
	out.shows(t, " gpu-2: daemon/web: configured", 1)
	if n := strings.Count(out.String(), "gpu-2: unreachable"); n != 1 {
		t.Errorf("that it is unreachable is said %d times:\n%s", n, out)
	}

	d.far["gpu-3"] = driverstest.NewFar("gpu-3", driverstest.NewHost())
	d.daemon("late", "host: gpu-3")
	out.shows(t, " gpu-3: daemon/late: created", 1)

	if code := interrupt(); code != exitOK {
		t.Errorf("exit %d", code)
	}
	errOut.shows(t, "Ended. 5 daemons of set default left running on 4 hosts", 1)
	if n := d.far["gpu-1"].Host().Fake().Alive("web"); n != 1 {
		t.Errorf("%d processes of web are alive after the run", n)
	}
}

// TestRunLooksWhenAskedTo: it says how many it has seen, and where it couldn't look.
func TestRunLooksWhenAskedTo(t *testing.T) {
	d := newFleetDesk(t)
	d.looks = make(chan os.Signal)
	out, _, interrupt := d.start("run", "-f", ".")
	for _, at := range []string{" gpu-1: ", " gpu-2: "} {
		out.shows(t, at+"daemon/web: created", 1)
	}
	out.shows(t, " ann@old: daemon/batch: created", 1)
	out.shows(t, " daemon/db: created", 1)
	d.looks <- os.Interrupt
	out.shows(t, " looked: at 4 daemons on 4 hosts, in ", 1)
	d.cut("gpu-2")
	out.shows(t, "gpu-2: unreachable: ", 1)
	d.looks <- os.Interrupt
	out.shows(t, " looked: at 3 daemons on 3 hosts, in ", 1)
	out.shows(t, "; not on gpu-2, which can't be reached", 1)
	if code := interrupt(); code != exitOK {
		t.Errorf("exit %d", code)
	}
}

// TestRunPrunesAFleet: what goes is weighed on all hosts together; a host that can't be reached isn't waited for, and is pruned when it is back.
func TestRunPrunesAFleet(t *testing.T) {
	d := newFleetDesk(t)
	for _, name := range []string{"a", "b", "c"} {
		d.daemon(name, "host: gpu-1")
	}
	out, _, interrupt := d.start("run", "-f", ".", "--prune")
	out.shows(t, " gpu-1: daemon/c: created", 1)
	out.shows(t, " daemon/db: created", 1)
	out.shows(t, " ann@old: daemon/batch: created", 1)

	d.remove("a.yaml")
	out.shows(t, " gpu-1: daemon/a: pruned", 1)

	d.note("all that ann@old has")
	d.remove("batch.yaml")
	out.shows(t, " ann@old: daemon/batch: pruned", 1)

	d.cut("gpu-1")
	out.shows(t, "gpu-1: unreachable", 1)
	d.remove("b.yaml")
	d.remove("db.yaml")
	out.shows(t, " daemon/db: pruned", 1)
	d.mend("gpu-1")
	out.shows(t, " gpu-1: daemon/b: pruned", 1)

	if code := interrupt(); code != exitOK {
		t.Errorf("exit %d", code)
	}
}

// TestRunIsGuardedOverAFleet: each host alone would be within the guard.
func TestRunIsGuardedOverAFleet(t *testing.T) {
	d := newFleetDesk(t)
	for _, name := range []string{"a", "b", "c", "p", "q", "r"} {
		host := "gpu-1"
		if name > "m" {
			host = "gpu-2"
		}
		d.daemon(name, "host: "+host)
	}
	d.must(exitOK, "apply", "-f", ".")
	for _, name := range []string{"a", "b", "c", "p", "q", "r"} {
		if err := os.Remove(name + ".yaml"); err != nil {
			t.Fatal(err)
		}
	}
	out, _, interrupt := d.start("run", "-f", ".", "--prune")
	out.shows(t, "not pruned: not pruning 6 of the 10 daemons of set \"default\": that is more than half of them", 1)
	if code := interrupt(); code != exitOK {
		t.Errorf("exit %d", code)
	}
	for daemon, host := range map[string]string{"a": "gpu-1", "r": "gpu-2", "web": "gpu-2"} {
		if d.far[host].Host().Fake().Alive(daemon) != 1 {
			t.Errorf("%s is gone from %s", daemon, host)
		}
	}
}

// TestRunAndWhatStandsInItsWay: another run on a host that is reached over a link is waited for, one on this machine ends the run; a host that is out of reach at first is
// reached later.
func TestRunAndWhatStandsInItsWay(t *testing.T) {
	d := newFleetDesk(t)
	d.cut("ann@old")
	release, err := d.far["gpu-1"].Host().Reopen().Lock(t.Context(), "default", drivers.Holder{ID: "other", Command: "reconciler run", PID: 7})
	if err != nil {
		t.Fatal(err)
	}
	out, _, interrupt := d.start("run", "-f", ".")
	out.shows(t, " gpu-1: held: keep set default on gpu-1", 1)
	out.shows(t, " ann@old: unreachable: reach host ann@old: no route to host", 1)
	out.shows(t, " gpu-2: daemon/web: created", 1)
	release()
	d.mend("ann@old")
	out.shows(t, " gpu-1: daemon/web: created", 1)
	out.shows(t, " ann@old: daemon/batch: created", 1)
	if code, _, stderr := d.run("run", "-f", "."); code != exitConflict || !strings.Contains(stderr, "localhost") {
		t.Errorf("a second run on this machine: exit %d, %s", code, stderr)
	}
	if code := interrupt(); code != exitOK {
		t.Errorf("exit %d", code)
	}
}

// TestTroubleIsToldOnce: and that of a host which this run itself holds only where it stays, as then the machine has two names.
func TestTroubleIsToldOnce(t *testing.T) {
	held := errors.New("set default is held by run-1")
	for _, c := range []struct {
		name     string
		told     trouble
		failures int
		why      trouble
		want     string // empty for nothing
	}{
		{"lost", noTrouble, 1, unreachable, "unreachable"},
		{"still lost", unreachable, 2, unreachable, ""},
		{"refused", unreachable, 2, refusing, "unreachable"},
		{"held by another run", noTrouble, 1, taken, "held"},
		{"the machine hasn't noticed yet", unreachable, 5, stale, ""},
		{"it never does", unreachable, staleTries, stale, "held"},
		{"nor later", stale, staleTries + 1, stale, ""},
	} {
		t.Run(c.name, func(t *testing.T) {
			h := keptHost{told: c.told, failures: c.failures}
			p, ok := h.news(c.why, held)
			if ok != (c.want != "") || ok && p.Phase != c.want {
				t.Errorf("%v, %+v", ok, p)
			}
			if ok && (!strings.Contains(p.Message, held.Error()) || strings.Contains(p.Message, "two names") != (c.why == stale)) {
				t.Errorf("it says %q", p.Message)
			}
		})
	}
}
