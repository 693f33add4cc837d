package reconcile

import (
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"reconciler.dev/reconciler/pkg/drivers"
	"reconciler.dev/reconciler/pkg/spec"
)

// oneLine is a decision in one line: the action, the steps, and whether to look again.
func oneLine(d Decision) string {
	words := []string{string(d.Action) + ":"}
	for _, s := range d.Steps {
		words = append(words, stepWord(s))
	}
	if d.LookAgain > 0 {
		words = append(words, "again")
	}
	return strings.TrimSuffix(strings.Join(words, " "), ":")
}

// stepWord is a step in one word: its verb, and of what the step carries that which isn't usual.
func stepWord(s spec.Step) string {
	var notes []string
	note := func(format string, args ...any) { notes = append(notes, fmt.Sprintf(format, args...)) }
	if s.Driver != spec.DriverProcess {
		note("by %s", s.Driver)
	}
	if s.Want != nil {
		note("g%d", s.Generation)
		if s.Owner.Set != "default" {
			note("of %s", s.Owner.Set)
		}
	}
	if s.Owner.TakenFrom != "" {
		note("from %s", s.Owner.TakenFrom)
	}
	if s.Restart {
		note("restart %d", s.Attempts)
	}
	if s.Verb == spec.VerbStop && s.Stop.Signal != "SIGTERM" {
		note("%s", s.Stop.Signal)
	}
	if len(notes) == 0 {
		return string(s.Verb)
	}
	return fmt.Sprintf("%s(%s)", s.Verb, strings.Join(notes, ", "))
}

func TestPlan(t *testing.T) {
	web, conf := manifest("web"), manifest("web", files("1"))
	never, onFailure := manifest("web", policyIs(spec.RestartNever)), manifest("web", policyIs(spec.RestartOnFailure))
	type a = []asking
	for _, tt := range []struct {
		name string
		want *spec.Daemon // nil: it shall go
		have spec.Observed
		ask  []asking
		plan string
	}{
		// Nothing there yet.
		{"a new daemon is started", web, nothing("web"), nil, "created: Start(g1)"},
		{"its files come first", conf, nothing("web"), nil, "created: Files(g1) Start(g1)"},
		{"a dependency comes before it", web, nothing("web"), a{blocked}, "waiting"},
		{"whatever its restart policy", never, nothing("web"), nil, "created: Start(g1)"},
		{"a start that was cut off after the stamp", web, applied(web, neverStarted), nil, "healed: Start(g3)"},
		{"its program comes before all", manifest("web", program("a"), files("1")), nothing("web"), nil, "created: Install(g1) Files(g1) Start(g1)"},

		// As it shall be.
		{"a settled daemon", web, applied(web), nil, "unchanged"},
		{"and one with everything", manifest("web", files("1"), reloads, label("a"), needs("db")), applied(manifest("web", files("1"), reloads, label("a"), needs("db"))), nil, "unchanged"},
		{"asked for by hand", web, applied(web), a{byHand}, "unchanged"},
		{"a dependency that isn't met doesn't stop it", web, applied(web), a{blocked}, "unchanged"},
		{"by force, with nobody to take it from", web, applied(web), a{forced}, "unchanged"},
		{"within whatever set, and there is nothing", web, nothing("web"), a{anySet, byHand}, "refused"},
		{"within whatever set", web, applied(web, ofSet("other")), a{anySet}, "unchanged"},

		// The manifest changed.
		{"a live field", manifest("web", label("b")), applied(web), nil, "configured: Stamp(g4)"},
		{"how it is stopped", manifest("web", stopsBy("SIGINT")), applied(web), nil, "configured: Stamp(g4)"},
		{"a file, of one that reloads", manifest("web", files("2"), reloads), applied(manifest("web", files("1"), reloads)), nil, "configured: Files(g4) Reload(g4) Stamp(g4)"},
		{"a file, of one that can't", manifest("web", files("2")), applied(conf), nil, "configured: Files(g4) Stop Start(g4)"},
		{"its arguments", manifest("web", args("-v")), applied(web), nil, "configured: Stop Start(g4)"},
		{"arguments and a file", manifest("web", args("-v"), files("2"), reloads), applied(manifest("web", files("1"), reloads)), nil, "configured: Files(g4) Stop Start(g4)"},
		{"its program", manifest("web", program("b")), applied(manifest("web", program("a"))), nil, "configured: Install(g4) Stop Start(g4)"},
		{"whose its program is", manifest("web", program("a"), owner("w")), applied(manifest("web", program("a"))), nil, "configured: Install(g4) Stamp(g4)"},
		{"a file, and not its program", manifest("web", program("a"), files("2"), reloads), applied(manifest("web", program("a"), files("1"), reloads)), nil, "configured: Files(g4) Reload(g4) Stamp(g4)"},
		{"where it sits, with a program", manifest("web", slice("b"), program("a")), applied(manifest("web", slice("a"), program("a"))), nil, "configured: Stop Remove Start(g4)"},
		{"it has no files any more", web, applied(conf), nil, "configured: Files(g4) Stop Start(g4)"},
		{"where it sits", manifest("web", slice("b")), applied(manifest("web", slice("a"))), nil, "configured: Stop Remove Start(g4)"},
		{"with files", manifest("web", slice("b"), files("1")), applied(manifest("web", slice("a"), files("1"))), nil, "configured: Files(g4) Stop Remove Files(g4) Start(g4)"},
		{"the old one is stopped as it was applied", manifest("web", args("-v"), stopsBy("SIGINT")), applied(manifest("web", stopsBy("SIGQUIT"))), nil, "configured: Stop(SIGQUIT) Start(g4)"},
		{"a restart waits for what it depends on, and leaves the old one running", manifest("web", args("-v")), applied(web), a{blocked}, "waiting"},
		{"so does making it anew", manifest("web", slice("b")), applied(web), a{blocked}, "waiting"},
		{"a live change doesn't", manifest("web", label("b")), applied(web), a{blocked}, "configured: Stamp(g4)"},

		// Another driver.
		{"the driver changed", web, applied(web), a{driver(spec.DriverCgroup)}, "configured: Stop Remove Start(by cgroup, g3)"},
		{"with files, which are still the old driver's", conf, applied(conf), a{driver(spec.DriverCgroup)}, "configured: Files(g3) Stop Remove Files(by cgroup, g3) Start(by cgroup, g3)"},
		{"of one that has ended", web, applied(web, ended(exit1, time.Hour)), a{driver(spec.DriverCgroup)}, "configured: Remove Start(by cgroup, g3)"},
		{"another name for the same driver", manifest("web", by(spec.DriverProcess)), applied(web), nil, "configured: Stamp(g4)"},

		// The manifest changed while it doesn't run.
		{"its arguments, after an end", manifest("web", args("-v")), applied(web, ended(exit1, 0), attempts(9)), nil, "configured: Start(g4)"},
		{"a live field, after an end", manifest("web", label("b")), applied(web, ended(exit1, 0), attempts(9)), nil, "configured: Start(g4)"},
		{"a live field of one that has done its work", manifest("web", policyIs(spec.RestartNever), label("b")), applied(never, ended(exit0, 0)), nil, "configured: Stamp(g4)"},
		{"and that drifted", manifest("web", policyIs(spec.RestartNever), files("1"), reloads, label("b")), applied(manifest("web", policyIs(spec.RestartNever), files("1"), reloads), ended(exit0, 0), drifted), nil, "configured: Files(g4) Stamp(g4)"},
		{"a policy that wants it back", web, applied(never, ended(exit1, 0)), nil, "configured: Start(g4)"},
		{"a policy that doesn't", never, applied(web, ended(exit1, 0)), nil, "configured: Stamp(g4)"},
		{"an update that was cut off between stop and start", manifest("web", args("-v"), files("2")), applied(conf, ended(asked, 0)), nil, "configured: Files(g4) Start(g4)"},

		// It ended.
		{"the first time it is started at once", web, applied(web, ended(exit1, 0)), nil, "healed: Start(g3, restart 1)"},
		{"killed", web, applied(web, ended(killed, 0)), nil, "healed: Start(g3, restart 1)"},
		{"nobody saw how", web, applied(web, ended(lost, 0)), nil, "healed: Start(g3, restart 1)"},
		{"even with status 0", web, applied(web, ended(exit0, 0)), nil, "healed: Start(g3, restart 1)"},
		{"then after a wait", web, applied(web, ended(exit1, 0), attempts(1)), nil, "waiting: again"},
		{"that is over", web, applied(web, ended(exit1, 1300*time.Millisecond), attempts(1)), nil, "healed: Start(g3, restart 2)"},
		{"a long one in the end", web, applied(web, ended(exit1, 3*time.Minute), attempts(20)), nil, "waiting: again"},
		{"that ends too", web, applied(web, ended(exit1, 5*time.Minute), attempts(20)), nil, "healed: Start(g3, restart 21)"},
		{"a stable spell forgets the row", web, applied(web, ended(exit1, 0), attempts(20), up(time.Minute)), nil, "healed: Start(g3, restart 1)"},
		{"a person needn't wait", web, applied(web, ended(exit1, 0), attempts(20)), a{byHand}, "healed: Start(g3)"},
		{"nor who asks for a restart", web, applied(web, ended(exit1, 0), attempts(20)), a{restart}, "healed: Start(g3)"},
		{"it was stopped, and the start was cut off", web, applied(web, ended(asked, 0), attempts(20)), nil, "healed: Start(g3)"},
		{"a dependency comes first", web, applied(web, ended(exit1, 0)), a{blocked}, "waiting"},
		{"the platform does it", web, applied(web, ended(exit1, time.Hour), restarting), nil, "waiting"},
		{"the platform does it, and a person needn't wait", web, applied(web, ended(exit1, 0), restarting), a{byHand}, "healed: Start(g3)"},
		{"the platform does it, with a changed manifest", manifest("web", args("-v")), applied(web, ended(exit1, 0), restarting), nil, "configured: Start(g4)"},
		{"Never", never, applied(never, ended(exit1, 0)), nil, "unchanged"},
		{"Never, by hand", never, applied(never, ended(exit1, 0)), a{byHand}, "unchanged"},
		{"Never, but a restart is asked for", never, applied(never, ended(exit1, 0)), a{restart}, "healed: Start(g3)"},
		{"OnFailure, after status 1", onFailure, applied(onFailure, ended(exit1, 0)), nil, "healed: Start(g3, restart 1)"},
		{"OnFailure, after a signal", onFailure, applied(onFailure, ended(killed, 0)), nil, "healed: Start(g3, restart 1)"},
		{"OnFailure, and nobody saw how", onFailure, applied(onFailure, ended(lost, 0)), nil, "healed: Start(g3, restart 1)"},
		{"OnFailure, after status 0", onFailure, applied(onFailure, ended(exit0, 0)), nil, "unchanged"},

		// Somebody touched it.
		{"a drifted file of one that reloads", manifest("web", files("1"), reloads), applied(manifest("web", files("1"), reloads), drifted), nil, "healed: Files(g3) Reload(g3)"},
		{"what costs nothing to put right", conf, applied(conf, tampered(spec.Live)), nil, "healed: Stamp(g3)"},
		{"beside a file of one that reloads", manifest("web", files("1"), reloads), applied(manifest("web", files("1"), reloads), drifted, tampered(spec.Live)), nil, "healed: Files(g3) Reload(g3) Stamp(g3)"},
		{"what takes a restart", manifest("web", files("1"), reloads), applied(manifest("web", files("1"), reloads), drifted, tampered(spec.Restarted)), nil, "healed: Files(g3) Stop Start(g3)"},
		{"what costs nothing, of one that has ended for good", manifest("web", policyIs(spec.RestartNever)), applied(manifest("web", policyIs(spec.RestartNever)), tampered(spec.Live), ended(exit0, 0)), nil, "healed: Stamp(g3)"},
		{"of one that can't", conf, applied(conf, drifted), nil, "healed: Files(g3) Stop Start(g3)"},
		{"of one that can't, and has to wait for what it depends on", conf, applied(conf, drifted), a{blocked}, "waiting"},
		{"of one that has ended", conf, applied(conf, drifted, ended(exit1, 0)), nil, "healed: Files(g3) Start(g3, restart 1)"},
		{"of one that has ended for good", manifest("web", files("1"), policyIs(spec.RestartNever)), applied(manifest("web", files("1"), policyIs(spec.RestartNever)), drifted, ended(exit0, 0)), nil, "healed: Files(g3)"},
		{"drift and a live change", manifest("web", files("1"), label("b")), applied(conf, drifted), nil, "configured: Files(g4) Stop Start(g4)"},
		{"drift and a live change of one that reloads", manifest("web", files("1"), reloads, label("b")), applied(manifest("web", files("1"), reloads), drifted), nil, "configured: Files(g4) Reload(g4) Stamp(g4)"},

		// It is unwell.
		{"its check wants it restarted", web, applied(web), a{unwell}, "healed: Stop Start(g3, restart 1)"},
		{"again, soon after", web, applied(web, attempts(2), up(time.Second)), a{unwell}, "waiting: again"},
		{"again, a while after", web, applied(web, attempts(2), up(3*time.Second)), a{unwell}, "healed: Stop Start(g3, restart 3)"},
		{"not while what it depends on is unwell too", web, applied(web), a{unwell, blocked}, "waiting"},
		{"drift may be why", conf, applied(conf, drifted), a{unwell}, "healed: Files(g3) Stop Start(g3)"},

		// A restart was asked for.
		{"of this instance", web, applied(web), a{restart}, "restarted: Stop Start(g3)"},
		{"of one that is gone", web, applied(web, func(o *spec.Observed) { o.Instance.ID = "two" }), a{restart}, "unchanged"},
		{"its row of restarts is forgotten", web, applied(web, attempts(5), up(0)), a{restart}, "restarted: Stop Start(g3)"},

		// A user stopped it.
		{"it stays stopped", web, applied(web, paused, ended(asked, 0)), nil, "paused"},
		{"also by hand", web, applied(web, paused, ended(asked, 0)), a{byHand}, "paused"},
		{"also when a restart is asked for", web, applied(web, paused, ended(asked, 0)), a{restart}, "paused"},
		{"the stop was cut off", web, applied(web, paused), nil, "paused: Stop"},
		{"a change is noted", manifest("web", args("-v"), files("2")), applied(conf, paused, ended(asked, 0)), nil, "paused: Files(g4) Stamp(g4)"},
		{"another driver makes it anew later", manifest("web", args("-v")), applied(web, paused, ended(asked, 0)), a{driver(spec.DriverCgroup)}, "paused"},
		{"drift is left alone", conf, applied(conf, paused, ended(asked, 0), drifted), nil, "paused"},

		// It shall go.
		{"it runs", nil, applied(web), nil, "deleted: Stop Remove"},
		{"as it was applied", nil, applied(manifest("web", stopsBy("SIGQUIT"))), nil, "deleted: Stop(SIGQUIT) Remove"},
		{"it has ended", nil, applied(web, ended(exit1, 0)), nil, "deleted: Remove"},
		{"it never ran", nil, applied(web, neverStarted), nil, "deleted: Remove"},
		{"a user stopped it", nil, applied(web, paused, ended(asked, 0)), nil, "deleted: Remove"},
		{"it isn't there", nil, nothing("web"), nil, "unchanged"},
		{"a dependent still lives", nil, applied(web), a{blocked}, "waiting"},
		{"by its own driver", nil, applied(web), a{driver(spec.DriverCgroup)}, "deleted: Stop Remove"},

		// Nothing may be done.
		{"unknown", web, applied(web, state(spec.Unknown)), nil, "frozen: again"},
		{"unknown, and it shall go", nil, applied(web, state(spec.Unknown)), nil, "frozen: again"},
		{"unknown, by force", web, applied(web, state(spec.Unknown)), a{forced, restart, unwell}, "frozen: again"},
		{"being started by another", web, applied(web, state(spec.Starting)), nil, "waiting: again"},
		{"being stopped by another", manifest("web", args("-v")), applied(web, state(spec.Stopping)), nil, "waiting: again"},
		{"being stopped, and it shall go", nil, applied(web, state(spec.Stopping)), nil, "waiting: again"},
		{"something else stands there", web, func() spec.Observed { o := nothing("web"); foreign(&o); return o }(), nil, "refused"},
		{"not even by force", web, func() spec.Observed { o := nothing("web"); foreign(&o); return o }(), a{forced}, "refused"},
		{"nor is it removed", nil, func() spec.Observed { o := nothing("web"); foreign(&o); return o }(), nil, "refused"},

		// It is somebody else's.
		{"another set's", manifest("web", args("-v")), applied(web, ofSet("other")), nil, "refused"},
		{"another set's, and it shall go", nil, applied(web, ofSet("other")), nil, "refused"},
		{"another set's, by force", web, applied(web, ofSet("other")), a{forced}, "configured: Stamp(g3)"},
		{"another set's, changed by force", manifest("web", args("-v")), applied(web, ofSet("other")), a{forced}, "configured: Stop Start(g4)"},
		{"another set's that a user stopped, by force", web, applied(web, ofSet("other"), paused, ended(asked, 0)), a{forced}, "paused: Stamp(g3)"},
		{"another set's that has done its work, by force", never, applied(never, ofSet("other"), ended(exit0, 0)), a{forced}, "configured: Stamp(g3)"},
		{"another set's that drifted, by force", manifest("web", files("1"), reloads), applied(manifest("web", files("1"), reloads), ofSet("other"), drifted), a{forced}, "healed: Files(g3) Reload(g3) Stamp(g3)"},
		{"a live run keeps it", web, applied(web), a{kept}, "refused"},
		{"a live run keeps it, and it shall go", nil, applied(web), a{kept}, "refused"},
		{"a live run would keep it", web, nothing("web"), a{kept}, "refused"},
		{"from a live run, by force", web, applied(web), a{kept, forced}, "configured: Stamp(g3, from run-7)"},
		{"and changed", manifest("web", args("-v")), applied(web), a{kept, forced}, "configured: Stop(from run-7) Start(g4, from run-7)"},
		{"once", web, applied(web, takenFrom("run-7")), a{kept, forced}, "unchanged"},
		{"the run lets go of it", web, applied(web, takenFrom("run-7"), ended(exit1, 0)), a{asRun("run-7")}, "refused"},
		{"and doesn't remove it", nil, applied(web, takenFrom("run-7")), a{asRun("run-7")}, "refused"},
		{"another run takes it up", web, applied(web, takenFrom("run-7"), ended(exit1, 0)), a{asRun("run-8")}, "healed: Start(g3, restart 1)"},
		{"a change within whatever set keeps the set", manifest("web", args("-v")), applied(web, ofSet("other")), a{anySet}, "configured: Stop Start(g4, of other)"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			in := Input{Name: "web", Want: tt.want, Observed: tt.have, Driver: spec.DriverProcess, Owner: spec.Owner{Set: "default"}}
			for _, ask := range tt.ask {
				ask(&in)
			}
			d := Plan(in)
			if got := oneLine(d); got != tt.plan {
				t.Errorf("planned %q, want %q\nbecause %s", got, tt.plan, d.Reason)
			}
			for _, wrong := range unlawful(in, d) {
				t.Error(wrong)
			}
		})
	}
}

// TestPlanSays: what is planned is told with the names that a person needs to follow it.
func TestPlanSays(t *testing.T) {
	web := manifest("web")
	for _, tt := range []struct {
		name string
		in   Input
		says []string
	}{
		{"which fields changed", Input{Want: manifest("web", args("-v"), label("b")), Observed: applied(web)}, []string{"metadata.labels", "spec.args"}},
		{"what drifted", Input{Want: manifest("web", files("1")), Observed: applied(manifest("web", files("1")), drifted)}, []string{"drift", "/etc/web.conf"}},
		{"how it ended, and when it is started again", Input{Want: web, Observed: applied(web, ended(killed, 0), attempts(3))}, []string{"SIGKILL", "restart 4 in a row in"}},
		{"why it isn't", Input{Want: manifest("web", policyIs(spec.RestartNever)), Observed: applied(manifest("web", policyIs(spec.RestartNever)), ended(exit1, 0))}, []string{"status 1", "Never"}},
		{"what is unwell", Input{Want: web, Observed: applied(web), Unhealthy: "connection refused"}, []string{"unhealthy", "connection refused"}},
		{"what it waits for", Input{Want: web, Observed: nothing("web"), Blocked: "waits for db to be Ready"}, []string{"db"}},
		{"who keeps it", Input{Want: web, Observed: applied(web), HeldBy: `"reconciler run" (pid 7)`}, []string{"pid 7", "--force"}},
		{"whose it is", Input{Want: web, Observed: applied(web, ofSet("other"))}, []string{`"other"`, `"default"`, "--set other", "--force"}},
		{"what stands there", Input{Want: web, Observed: spec.Observed{State: spec.Absent, Foreign: "a unit file"}}, []string{"a unit file", "stamp"}},
		{"why it is unknown", Input{Want: web, Observed: spec.Observed{State: spec.Unknown, Message: "no route to host"}}, []string{"no route to host"}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			tt.in.Name, tt.in.Driver, tt.in.Owner.Set = "web", spec.DriverProcess, "default"
			d := Plan(tt.in)
			for _, want := range tt.says {
				if !strings.Contains(d.Reason, want) {
					t.Errorf("%q isn't said in: %s", want, d.Reason)
				}
			}
			if d.Action == Refused && (!errors.Is(d.Err, drivers.ErrConflict) && !errors.Is(d.Err, drivers.ErrNotFound) || !strings.Contains(d.Err.Error(), "daemon web: "+d.Reason)) {
				t.Errorf("the error says %v", d.Err)
			}
		})
	}
}

// TestPlanWaitsAsLongAsTheBackoffSays: looked at again when it said, the daemon is due, and not a moment before.
func TestPlanWaitsAsLongAsTheBackoffSays(t *testing.T) {
	web := manifest("web")
	for n := 1; n < 12; n++ {
		for name, in := range map[string]func(waited time.Duration) Input{
			"ended": func(waited time.Duration) Input {
				return Input{Observed: applied(web, ended(exit1, waited), attempts(n))}
			},
			"unwell": func(waited time.Duration) Input {
				return Input{Observed: applied(web, up(waited), attempts(n)), Unhealthy: "refused"}
			},
		} {
			at := func(waited time.Duration) Decision {
				i := in(waited)
				i.Name, i.Want, i.Driver, i.Owner.Set = "web", web, spec.DriverProcess, "default"
				return Plan(i)
			}
			wait := at(0).LookAgain
			if nominal := Delay(web.Spec.Restart.Backoff, "web", n); wait != nominal {
				t.Errorf("%s, attempt %d: looks again after %v, the backoff is %v", name, n, wait, nominal)
			}
			if name == "unwell" && wait >= web.Spec.Restart.Backoff.ResetAfter.D() {
				continue // it will have been up long enough for a row to be forgotten before that
			}
			if d := at(wait - 1); d.Action != Waiting || d.LookAgain != 1 {
				t.Errorf("%s, attempt %d: just before %v: %s", name, n, wait, oneLine(d))
			}
			if d := at(wait); len(d.Steps) == 0 {
				t.Errorf("%s, attempt %d: after %v nothing is planned: %s", name, n, wait, oneLine(d))
			}
		}
	}
}
