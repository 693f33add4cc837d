package reconcile

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"

	"reconciler.dev/reconciler/pkg/drivers"
	"reconciler.dev/reconciler/pkg/drivers/driverstest"
	"reconciler.dev/reconciler/pkg/spec"
)

// unlawful lists the laws that a decision breaks. They hold for every input, however odd.
func unlawful(in Input, d Decision) (broken []string) {
	law := func(holds bool, format string, args ...any) {
		if !holds {
			broken = append(broken, fmt.Sprintf(format, args...)+": "+oneLine(d))
		}
	}
	o, n := in.Observed, map[spec.Verb]int{}
	at := func(v spec.Verb) int { return slices.IndexFunc(d.Steps, func(s spec.Step) bool { return s.Verb == v }) }
	for _, s := range d.Steps {
		n[s.Verb]++
	}
	starts, stops, idle := n[spec.VerbStart] > 0, n[spec.VerbStop] > 0, len(d.Steps) == 0

	law(idle || o.State != spec.Unknown, "steps for what is unknown")
	law(idle || o.Foreign == "", "steps for what isn't ours")
	law(idle || o.State != spec.Starting && o.State != spec.Stopping, "steps for what another is changing")
	law(idle || o.Stamp == nil || in.Force || in.Owner.Set == "" || o.Stamp.Owner.Set == in.Owner.Set, "steps for another set's")
	law(idle || in.HeldBy == "" || in.Force, "steps for what a run keeps")
	if o.Stamp == nil {
		law(!stops && n[spec.VerbRemove]+n[spec.VerbReload]+n[spec.VerbStamp] == 0, "what carries no stamp is touched")
	}

	law(n[spec.VerbStart] <= 1, "two starts")
	law(!starts || at(spec.VerbStart) == len(d.Steps)-1, "something after the start")
	beside := slices.ContainsFunc(d.Steps, func(s spec.Step) bool { return s.Verb == spec.VerbStart && s.Beside })
	law(!starts || o.State != spec.Running || stops || beside, "a start beside the one that runs")
	law(!beside || in.Want.Spec.Slots() && o.State == spec.Running && o.Outgoing == nil && !stops, "a second copy of what may have only one, or a third")
	law(n[spec.VerbRetire]+n[spec.VerbAbandon] == 0 || o.Outgoing != nil && n[spec.VerbRetire]+n[spec.VerbAbandon] == 1 && !starts && !stops, "an end of one copy of two that aren't there")
	law(n[spec.VerbRetire] == 0 || in.Ready && o.State == spec.Running && in.Abandon == "", "the one that serves goes before the new one has proven itself")
	law(!starts || o.Paused == nil, "a start of what a user stopped")
	law(!starts || in.Blocked == "", "a start before what it depends on")
	law(!stops || o.State == spec.Running || o.Outgoing != nil, "a stop of what doesn't run")
	law(!stops || at(spec.VerbFiles) <= 0 || o.Paused != nil, "a stop before it is known that the files can be written")
	law(!stops || starts || in.Want == nil || o.Paused != nil, "a stop for good of what is wanted")
	law(n[spec.VerbRemove] == 0 || starts || in.Want == nil, "a removal of what is wanted")
	law(n[spec.VerbReload] == 0 || o.State == spec.Running && in.Want.Spec.Reload != nil, "a reload of what can't")
	law(n[spec.VerbPause]+n[spec.VerbResume] == 0, "a user's verb")

	for _, s := range d.Steps {
		law(s.Verb != spec.VerbStart && s.Verb != spec.VerbStamp || s.Owner.Set != "", "a stamp of no set")
		law(s.Name == in.Name && s.Reason != "", "a step for %q because %q", s.Name, s.Reason)
		law(slices.Contains([]spec.Verb{spec.VerbStop, spec.VerbRemove, spec.VerbRetire, spec.VerbAbandon}, s.Verb) || s.Want == in.Want && s.Want != nil, "%s without what is wanted", s.Verb)
		if s.Want != nil && o.Stamp != nil {
			changed := int64(min(len(d.Changes), 1))
			law(s.Generation == o.Stamp.Generation+changed, "%s of generation %d after %d with %d changes", s.Verb, s.Generation, o.Stamp.Generation, changed)
			law(s.Owner.Set != "", "%s for no set", s.Verb)
		}
	}
	law((d.Err != nil) == (d.Action == Refused), "error %v", d.Err)
	law(d.Err == nil || errors.Is(d.Err, drivers.ErrConflict) || errors.Is(d.Err, drivers.ErrNotFound) && o.Stamp == nil, "error %v", d.Err)
	law(idle == slices.Contains([]Action{Unchanged, Waiting, Refused, Frozen}, d.Action) || d.Action == Paused, "the action doesn't go with the steps")
	law(d.LookAgain >= 0, "looks again in the past")
	return broken
}

// oddInput is any input at all, also ones that no driver would come to.
func oddInput(r *rand.Rand) Input {
	pick := func(chance int) bool { return r.IntN(chance) == 0 }
	in := Input{
		Name: "web", Driver: spec.DriverProcess, Owner: spec.Owner{Set: []string{"default", "other", ""}[r.IntN(3)]},
		Force: pick(4), Manual: pick(3), Ready: pick(2),
	}
	if pick(4) {
		in.Abandon = "its change failed"
	}
	if !pick(4) {
		in.Want = oddDaemon(r)
		if pick(3) {
			updated(func(u *spec.Update) { u.Strategy = spec.UpdateStartFirst })(in.Want)
			spec.Defaults(&in.Want.Spec)
			in.Want.Digest = spec.Digest(in.Want.Metadata, in.Want.Spec)
		}
	}
	for _, ask := range []asking{restart, unwell, blocked, kept, asRun("run-7"), driver(spec.DriverCgroup)} {
		if pick(12) {
			ask(&in)
		}
	}
	o := nothing("web")
	if !pick(6) {
		o = applied(oddDaemon(r), ofSet([]string{"default", "other"}[r.IntN(2)]), attempts(r.IntN(9)), up(time.Duration(r.IntN(100))*time.Second))
		o.State = []spec.State{spec.Running, spec.Running, spec.Exited, spec.Exited, spec.Starting, spec.Stopping, spec.Unknown}[r.IntN(7)]
	}
	if o.State == spec.Exited {
		how := []spec.Exit{exit0, exit1, killed, lost, asked}[r.IntN(5)]
		ended(how, time.Duration(r.IntN(400))*time.Second)(&o)
	}
	for _, f := range []finding{paused, foreign, drifted} {
		if pick(6) {
			f(&o)
		}
	}
	if o.Stamp != nil && pick(9) {
		takenFrom("run-7")(&o)
	}
	if o.State == spec.Exited && pick(9) {
		o.Instance = nil
	}
	if o.Stamp != nil && pick(4) {
		o.Outgoing = &spec.Instance{ID: "web-0"}
	}
	in.Observed = o
	return in
}

// oddDaemon is one of a few hundred manifests of the daemon web.
func oddDaemon(r *rand.Rand) *spec.Daemon {
	var edits []func(*spec.Daemon)
	for _, e := range []func(*spec.Daemon){
		args("-v"), label("b"), files("1"), files("2"), reloads, slice("b"), stopsBy("SIGINT"), by(spec.DriverProcess),
		policyIs(spec.RestartNever), policyIs(spec.RestartOnFailure),
	} {
		if r.IntN(4) == 0 {
			edits = append(edits, e)
		}
	}
	return manifest("web", edits...)
}

func TestPlanKeepsItsLaws(t *testing.T) {
	seen := map[string]bool{}
	for seed := range uint64(8000) {
		in := oddInput(rand.New(rand.NewPCG(seed, 2)))
		d := Plan(in)
		seen[oneLine(d)] = true
		for _, b := range unlawful(in, d) {
			t.Errorf("seed %d: %s", seed, b)
		}
		if t.Failed() {
			t.Fatalf("input: %+v", in)
		}
	}
	if len(seen) < 100 {
		t.Errorf("the inputs led to %d kinds of decisions only: they are less odd than they should be", len(seen))
	}
}

// TestPlanIsAFunction: equal inputs make equal plans, and are left as they were.
func TestPlanIsAFunction(t *testing.T) {
	for seed := range uint64(2000) {
		in := oddInput(rand.New(rand.NewPCG(seed, 2)))
		same := oddInput(rand.New(rand.NewPCG(seed, 2)))
		first, second := Plan(in), Plan(in)
		if diff := cmp.Diff(first, second, cmp.Comparer(sameText)); diff != "" {
			t.Fatalf("seed %d: planned a second time (-first +second):\n%s", seed, diff)
		}
		if diff := cmp.Diff(same, in); diff != "" {
			t.Fatalf("seed %d: planning changed its input (-before +after):\n%s", seed, diff)
		}
	}
}

func sameText(a, b error) bool { return fmt.Sprint(a) == fmt.Sprint(b) }

// world is a fake machine with one daemon on it, to which things happen.
type world struct {
	t    *testing.T
	r    *rand.Rand
	f    *driverstest.Fake
	want *spec.Daemon
	in   Input // Name, Driver and Owner
}

func (w *world) observe() spec.Observed {
	o, err := w.f.Observe(w.t.Context(), "web")
	if err != nil {
		w.t.Fatal(err)
	}
	return o[0]
}

// round looks, plans and does at most limit steps, as a reconciler that is killed after them would.
func (w *world) round(limit int) (Input, Decision) {
	w.t.Helper()
	in := w.in
	in.Observed, in.Want = w.observe(), w.want
	d := Plan(in)
	for _, b := range unlawful(in, d) {
		w.t.Error(b)
	}
	for i, s := range d.Steps {
		if i >= limit {
			break
		}
		err := w.f.Apply(w.t.Context(), s)
		if (i == 0 || in.Observed.Paused != nil) && s.Verb == spec.VerbFiles && errors.Is(err, drivers.ErrConflict) {
			w.f.RemoveFile("/etc/web.conf") // what an earlier daemon left because it was edited: a person moves it away
			break
		}
		if err != nil {
			w.t.Fatalf("%s of %q: %v", s.Verb, oneLine(d), err)
		}
		if n := w.f.Alive("web"); n > 1 {
			w.t.Fatalf("%d copies run after %s of %q", n, s.Verb, oneLine(d))
		}
	}
	return in, d
}

// something happens to the daemon, or to what is wanted of it, or to whoever reconciles it.
func (w *world) something() string {
	running := w.f.Alive("web") > 0
	switch k := w.r.IntN(10); {
	case k == 0:
		w.want = oddDaemon(w.r)
		return "the manifest changes"
	case k == 1:
		w.want = nil
		return "the manifest goes"
	case k == 2 && running:
		w.f.Crash("web", []spec.Exit{exit0, exit1, killed, lost}[w.r.IntN(4)])
		return "it crashes"
	case k == 3 && running:
		w.f.WriteFile("/etc/web.conf", driverstest.File{Content: []byte("by hand"), Mode: 0o644})
		return "somebody edits its file"
	case k == 4:
		w.f.RemoveFile("/etc/web.conf")
		return "somebody removes its file"
	case k == 5 && w.observe().State != spec.Absent:
		w.apply(spec.Step{Verb: spec.VerbPause, Name: "web", By: "alice"})
		return "a user stops it"
	case k == 6:
		w.apply(spec.Step{Verb: spec.VerbResume, Name: "web"})
		return "a user starts it"
	case k == 7:
		time.Sleep(time.Duration(w.r.IntN(90)) * time.Second)
		return "time passes"
	case k == 8 && running:
		ctx, cancel := context.WithTimeout(w.t.Context(), time.Second)
		defer cancel()
		o := w.observe()
		err := w.f.Apply(ctx, spec.Step{Verb: spec.VerbStop, Name: "web", Instance: instanceID(o), Stop: o.Stamp.Spec.Stop})
		if err != nil && !errors.Is(err, context.DeadlineExceeded) {
			w.t.Errorf("stop: %v", err)
		}
		return "killed in the midst of a stop"
	default:
		_, d := w.round(w.r.IntN(3))
		return "killed in the midst of " + oneLine(d)
	}
}

func (w *world) apply(s spec.Step) {
	if err := w.f.Apply(w.t.Context(), s); err != nil {
		w.t.Fatal(err)
	}
}

// settle plans and applies until nothing is planned any more, and returns in how many rounds that acted.
func (w *world) settle() (rounds int) {
	w.t.Helper()
	for range 20 {
		synctest.Wait() // what is due at this very instant happens first
		in, d := w.round(len("all of them"))
		switch {
		case len(d.Steps) > 0:
			rounds++
		case d.LookAgain > 0:
			time.Sleep(d.LookAgain)
		default:
			w.settled(in.Observed, d)
			return rounds
		}
	}
	in, d := w.round(0)
	w.t.Errorf("it doesn't settle: %s of %+v", oneLine(d), in.Observed)
	return 0
}

// settled checks that a daemon for which nothing is planned is as it shall be.
func (w *world) settled(o spec.Observed, d Decision) {
	w.t.Helper()
	switch {
	case w.want == nil:
		if o.State != spec.Absent || w.f.Alive("web") > 0 {
			w.t.Errorf("it shall be gone, and is %s: %s", o.State, oneLine(d))
		}
		return
	case o.Paused != nil && o.State == spec.Absent:
		return
	case o.Stamp == nil || o.Stamp.Digest != w.want.Digest:
		w.t.Errorf("it isn't applied: %s", oneLine(d))
	case len(o.Drift) > 0 && o.Paused == nil:
		w.t.Errorf("it drifted: %v", o.Drift)
	case o.Paused != nil:
		if o.State != spec.Exited {
			w.t.Errorf("a user stopped it, and it is %s", o.State)
		}
	case o.State != spec.Running && w.want.Spec.Restart.Policy == spec.RestartAlways:
		w.t.Errorf("it is %s", o.State)
	case o.State == spec.Running && o.Instance.SpecDigest != w.want.Digest:
		for _, c := range spec.Diff(spec.Stamp{Metadata: o.Stamp.Metadata, Spec: o.Stamp.Spec}, w.want) {
			w.t.Errorf("it runs an older %s", c.Field)
		}
	}
}

// TestPlanSettles: whatever happens to a daemon and to whoever reconciles it, planning and applying comes to rest in a few rounds, with the
// daemon as it shall be, one copy of it at most at any time, and nothing more to do.
func TestPlanSettles(t *testing.T) {
	const most = 3
	for seed := range uint64(150) {
		synctest.Test(t, func(t *testing.T) {
			w := &world{
				t: t, r: rand.New(rand.NewPCG(seed, 3)), f: driverstest.NewFake(),
				in: Input{Name: "web", Driver: spec.DriverProcess, Owner: spec.Owner{Set: "default"}},
			}
			w.f.Behave("web", driverstest.Behaviour{Signal: func(p *driverstest.Proc, s spec.Signal) {
				if s != "SIGHUP" {
					p.After(3*time.Second, func() { p.Die(s) })
				}
			}})
			w.want = oddDaemon(w.r)
			var story []string
			for range 12 {
				for range w.r.IntN(4) {
					story = append(story, w.something())
				}
				if rounds := w.settle(); rounds > most {
					t.Errorf("settled in %d rounds only", rounds)
				}
				story = append(story, "settled")
				w.f.Forget()
				if _, d := w.round(9); len(d.Steps) > 0 || len(w.f.Calls()) > 0 {
					t.Errorf("settled, and yet planned: %s", oneLine(d))
				}
				if t.Failed() {
					t.Fatalf("seed %d: %q", seed, story)
				}
			}
		})
	}
}

// TestPlanHoldsBackFromOthers: the same on a machine where the name is somebody else's: nothing is ever asked of the driver.
func TestPlanHoldsBackFromOthers(t *testing.T) {
	for name, make := range map[string]func(f *driverstest.Fake){
		"foreign": func(f *driverstest.Fake) { f.Foreign("web", "a unit file") },
		"unknown": func(f *driverstest.Fake) { f.Unknown("web", "permission denied") },
		"another set's": func(f *driverstest.Fake) {
			w := manifest("web")
			if err := f.Apply(t.Context(), spec.Step{Verb: spec.VerbStart, Name: "web", Want: w, Generation: 1, Owner: spec.Owner{Set: "other"}}); err != nil {
				t.Fatal(err)
			}
		},
	} {
		t.Run(name, func(t *testing.T) {
			f := driverstest.NewFake()
			make(f)
			f.Forget()
			for seed := range uint64(200) {
				w := &world{
					t: t, r: rand.New(rand.NewPCG(seed, 4)), f: f,
					in: Input{Name: "web", Driver: spec.DriverProcess, Owner: spec.Owner{Set: "default"}, Manual: seed%2 == 0},
				}
				if seed%3 > 0 {
					w.want = oddDaemon(w.r)
				}
				w.round(9)
			}
			if calls := f.Calls(); len(calls) > 0 {
				t.Errorf("%d steps, the first is %s", len(calls), calls[0].Verb)
			}
		})
	}
}
