package systemd

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"reconciler.dev/reconciler/pkg/spec"
	"reconciler.dev/reconciler/test/labhost"
)

// TestDrift: what somebody does to a unit behind our back is seen, named, and put right at the least cost, for the system's manager and for a user's.
func TestDrift(t *testing.T) {
	for _, kind := range []labhost.Kind{labhost.Systemd, labhost.SystemdUser} {
		t.Run(string(kind), func(t *testing.T) {
			labhost.Test(t, kind, func(t *testing.T) {
				for _, c := range tamperings() {
					t.Run(c.name, func(t *testing.T) { c.run(newRig(t)) })
				}
			})
		})
	}
}

// tampering is something that somebody does, and what is to be seen of it.
type tampering struct {
	name   string
	tamper func(r *rig, unit string)
	field  string
	class  spec.Class
	// ended says that the daemon doesn't run then.
	ended bool
}

func tamperings() []tampering {
	appendTo := func(r *rig, path, text string) {
		r.Helper()
		old, err := os.ReadFile(path)
		if err != nil {
			r.Fatal(err)
		}
		r.write(path, strings.Replace(string(old), "[Service]\n", "[Service]\n"+text, 1))
	}
	dropIn := func(r *rig, dir, unit, text string) { r.write(filepath.Join(dir, unit+".d", "override.conf"), text) }
	return []tampering{
		{name: "the unit file edited", field: "unit Service.Environment", class: spec.Live,
			tamper: func(r *rig, unit string) { appendTo(r, r.scope.file(unit), "Environment=MORE=1\n") }},
		{name: "a comment added", field: "unit.file", class: spec.Live,
			tamper: func(r *rig, unit string) { appendTo(r, r.scope.file(unit), "# a note\n") }},
		{name: "the unit file edited and restarted with", field: "unit Service.Environment", class: spec.Restarted,
			tamper: func(r *rig, unit string) {
				appendTo(r, r.scope.file(unit), "Environment=MORE=1\n")
				r.systemctl("daemon-reload")
				r.systemctl("restart", unit)
			}},
		{name: "systemctl edit", field: "unit.dropIn", class: spec.Live,
			tamper: func(r *rig, unit string) {
				dropIn(r, r.scope.units, unit, "[Service]\nNice=5\n")
				r.systemctl("daemon-reload")
			}},
		{name: "systemctl edit --runtime and a restart", field: "unit.dropIn", class: spec.Restarted,
			tamper: func(r *rig, unit string) {
				dropIn(r, r.scope.below[1], unit, "[Service]\nNice=5\n")
				r.systemctl("daemon-reload")
				r.systemctl("restart", unit)
			}},
		{name: "systemctl set-property", field: "unit.dropIn", class: spec.Live,
			tamper: func(r *rig, unit string) { r.systemctl("set-property", unit, "TasksMax=77") }},
		{name: "systemctl set-property --runtime", field: "unit.dropIn", class: spec.Live,
			tamper: func(r *rig, unit string) { r.systemctl("set-property", "--runtime", unit, "TasksMax=77") }},
		{name: "systemctl disable", field: "unit.enabled", class: spec.Live,
			tamper: func(r *rig, unit string) { r.systemctl("disable", unit) }},
		{name: "a mask in place of the unit file", field: "unit.file", class: spec.Live,
			tamper: func(r *rig, unit string) {
				if err := os.Remove(r.scope.file(unit)); err != nil {
					r.Fatal(err)
				}
				r.systemctl("mask", unit)
			}},
		{name: "systemctl mask --runtime", field: "unit.masked", class: spec.Live,
			tamper: func(r *rig, unit string) { r.systemctl("mask", "--runtime", unit) }},
		{name: "the unit file removed", field: "unit.file", class: spec.Live,
			tamper: func(r *rig, unit string) {
				if err := os.Remove(r.scope.file(unit)); err != nil {
					r.Fatal(err)
				}
			}},
		{name: "systemctl stop", field: "unit.active", ended: true,
			tamper: func(r *rig, unit string) { r.systemctl("stop", unit) }},
	}
}

func (c tampering) run(r *rig) {
	d := r.daemon("web")
	before := r.begin(d)
	if len(before.Drift) != 0 {
		r.Fatalf("drift before anything was done: %+v", before.Drift)
	}
	c.tamper(r, "web.service")
	o := r.look("web")
	if len(o.Drift) != 1 || o.Drift[0].Field != c.field || o.Drift[0].Class != c.class {
		r.Fatalf("seen is %+v, want %s of class %v", o.Drift, c.field, c.class)
	}
	if names, err := r.List(r.Context()); err != nil || len(names) != 1 {
		r.Errorf("listed are %v (%v)", names, err)
	}
	switch {
	case c.ended:
		if o.State != spec.Exited || o.Instance.Exit == nil || o.Instance.Exit.Asked {
			r.Errorf("it is %s, %+v", o.State, o.Instance)
		}
		r.must(spec.VerbStart, d)
	case c.class == spec.Live:
		after := r.must(spec.VerbStamp, d)
		if after.State != spec.Running || after.Instance.PID != before.Instance.PID || after.Instance.ID != before.Instance.ID {
			r.Errorf("to put it right cost the process: %+v became %+v", before.Instance, after.Instance)
		}
	default:
		r.must(spec.VerbStop, d)
		r.must(spec.VerbStart, d)
	}
	o = r.look("web")
	if len(o.Drift) != 0 || o.State != spec.Running {
		r.Errorf("put right, it is %s and has drift %+v", o.State, o.Drift)
	}
	c.settled(r)
}

// settled fails unless the manager knows the unit as it is on disk, and as it was declared.
func (c tampering) settled(r *rig) {
	got := r.systemctl("show", "web.service", "--property=NeedDaemonReload,Nice,TasksMax,UnitFileState,LoadState,Environment,DropInPaths")
	for _, want := range []string{"NeedDaemonReload=no", "Nice=0", "TasksMax=infinity", "UnitFileState=enabled", "LoadState=loaded"} {
		if !strings.Contains(got, want+"\n") {
			r.Errorf("it isn't %s:\n%s", want, got)
		}
	}
	if strings.Contains(got, "MORE=1") {
		r.Errorf("it runs with what was edited in:\n%s", got)
	}
}
