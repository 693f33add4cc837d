package driverstest

import (
	"cmp"
	"context"
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"reconciler.dev/reconciler/pkg/spec"
)

// mutant is a fake with one fault, and the case that must find it.
type mutant struct {
	*Fake
	found   string
	apply   func(*mutant, context.Context, spec.Step) error
	observe func(context.Context, *Fake, []string) ([]spec.Observed, error)
	watch   func(context.Context, *Fake, func(string)) error
	list    func([]string) []string
	dir     string
}

func (m *mutant) Apply(ctx context.Context, s spec.Step) error {
	if m.apply == nil {
		return m.Fake.Apply(ctx, s)
	}
	return m.apply(m, ctx, s)
}

func (m *mutant) Observe(ctx context.Context, names ...string) ([]spec.Observed, error) {
	if m.observe == nil {
		return m.Fake.Observe(ctx, names...)
	}
	return m.observe(ctx, m.Fake, names)
}

func (m *mutant) Watch(ctx context.Context, changed func(string)) error {
	if m.watch == nil {
		return m.Fake.Watch(ctx, changed)
	}
	return m.watch(ctx, m.Fake, changed)
}

func (m *mutant) List(ctx context.Context) ([]string, error) {
	names, err := m.Fake.List(ctx)
	if m.list != nil {
		names = m.list(names)
	}
	return names, err
}

// onVerb changes how one verb is applied; do may change the step and says whether it is still to be applied.
func onVerb(verb spec.Verb, do func(m *mutant, s *spec.Step) bool) func(*mutant, context.Context, spec.Step) error {
	return func(m *mutant, ctx context.Context, s spec.Step) error {
		if s.Verb == verb && !do(m, &s) {
			return nil
		}
		return m.Fake.Apply(ctx, s)
	}
}

// onWant changes what is started.
func onWant(change func(*spec.Daemon)) func(*mutant, context.Context, spec.Step) error {
	return onVerb(spec.VerbStart, func(_ *mutant, s *spec.Step) bool {
		d := *s.Want
		change(&d)
		s.Want = &d
		return true
	})
}

// onSeen changes what is observed.
func onSeen(change func(*spec.Observed)) func(context.Context, *Fake, []string) ([]spec.Observed, error) {
	return func(ctx context.Context, f *Fake, names []string) ([]spec.Observed, error) {
		found, err := f.Observe(ctx, names...)
		for i := range found {
			change(&found[i])
		}
		return found, err
	}
}

func current(m *mutant, name string) (id string) {
	m.w.do(func() {
		if i := m.w.daemon(name).inst; i != nil {
			id = i.ID
		}
	})
	return id
}

func mutants() map[string]mutant {
	ignoreInstance := func(verb spec.Verb) func(*mutant, context.Context, spec.Step) error {
		return onVerb(verb, func(m *mutant, s *spec.Step) bool {
			s.Instance = current(m, s.Name)
			return true
		})
	}
	leak := "leaked"
	return map[string]mutant{
		"starts whatever instance there is": {found: "start/against_another_instance_is_refused", apply: ignoreInstance(spec.VerbStart)},
		"stops whatever instance there is":  {found: "stop/of_another_instance_is_refused", apply: ignoreInstance(spec.VerbStop)},
		"stamps whatever instance there is": {found: "stamp/of_another_instance_is_refused", apply: ignoreInstance(spec.VerbStamp)},
		"writes files for any instance":     {found: "files/of_another_instance_are_not_written", apply: ignoreInstance(spec.VerbFiles)},
		"starts a second copy": {found: "start/again_does_nothing", apply: onVerb(spec.VerbStart, func(m *mutant, s *spec.Step) bool {
			s.Instance = current(m, s.Name)
			m.w.do(func() { m.w.daemon(s.Name).run = nil })
			return true
		})},
		"answers in the order of names": {found: "observe/answers_come_in_the_order_of_the_names,_also_for_one_name_twice",
			observe: func(ctx context.Context, f *Fake, names []string) ([]spec.Observed, error) {
				found, err := f.Observe(ctx, names...)
				slices.SortFunc(found, func(a, b spec.Observed) int { return cmp.Compare(a.Name, b.Name) })
				return found, err
			}},
		"lists in no order": {found: "observe/the_list_is_sorted_and_holds_what_is_stamped,_running_or_not", list: func(names []string) []string {
			slices.Reverse(names)
			return names
		}},
		"looks on although nobody waits": {found: "observe/a_cancelled_look_is_an_error",
			observe: func(ctx context.Context, f *Fake, names []string) ([]spec.Observed, error) {
				return f.Observe(context.WithoutCancel(ctx), names...)
			}},
		"takes an end for none":          {found: "exit/the_status_is_kept", observe: onSeen(forgetExit)},
		"tells nothing of lost limits":   {found: "refuse/every_limit_that_isn't_enforced_is_listed_with_a_reason", observe: onSeen(func(o *spec.Observed) { o.Lost = nil })},
		"overlooks drift":                {found: "files/that_somebody_changed_are_drift", observe: onSeen(func(o *spec.Observed) { o.Drift = nil })},
		"forgets the owner":              {found: "start/makes_it_Running,_and_the_stamp_comes_back_as_it_was_given", observe: onSeen(forgetOwner)},
		"lets a child live":              {found: "stop/ends_a_child_in_another_session", apply: onVerb(spec.VerbStop, abandonChildren)},
		"kills what it is to stamp":      {found: "stamp/changes_the_stamp_and_leaves_the_process_alone", apply: onVerb(spec.VerbStamp, crash)},
		"removes what runs":              {found: "remove/of_what_runs_is_refused", apply: onVerb(spec.VerbRemove, crash)},
		"writes over anybody's files":    {found: "files/of_somebody_else_are_not_written_over,_and_none_is_written_then", apply: onVerb(spec.VerbFiles, force)},
		"ignores that a limit is needed": {found: "refuse/a_required_limit_that_can't_be_enforced_refuses_the_start", apply: onWant(func(d *spec.Daemon) { d.Spec.Cgroup = nil })},
		"joins arguments": {found: "environment/arguments_arrive_byte_by_byte", apply: onWant(func(d *spec.Daemon) {
			d.Spec.Args = append(slices.Clone(d.Spec.Args[:len(d.Spec.Args)-2]), strings.Join(d.Spec.Args[len(d.Spec.Args)-2:], " "))
		})},
		"leaks a variable": {found: "environment/the_environment_is_what_is_declared_and_nothing_of_ours", apply: onWant(func(d *spec.Daemon) {
			d.Spec.Env = maps.Clone(d.Spec.Env)
			d.Spec.Env["SSH_AUTH_SOCK"] = spec.EnvVar{Value: &leak}
		})},
		"keeps a secret": {found: "environment/a_secret_reaches_the_daemon_and_nothing_else", apply: onVerb(spec.VerbStart, keepSecrets)},
		"forgets a pause at a start": {found: "pause/outlives_stop_and_start", apply: onVerb(spec.VerbStart, func(m *mutant, s *spec.Step) bool {
			m.w.do(func() { m.w.daemon(s.Name).pause = nil })
			return true
		})},
		"hears of no death": {found: "watch/tells_of_a_death", watch: func(ctx context.Context, f *Fake, changed func(string)) error {
			changed("")
			<-ctx.Done()
			return ctx.Err()
		}},
		"never stops telling": {found: "watch/is_quiet_while_nothing_happens", watch: func(ctx context.Context, f *Fake, changed func(string)) error {
			for ; ctx.Err() == nil; time.Sleep(10 * time.Millisecond) {
				changed("")
			}
			return ctx.Err()
		}},
		"outlives its context": {found: "watch/ends_with_its_context", watch: func(ctx context.Context, f *Fake, changed func(string)) error {
			changed("")
			<-ctx.Done()
			return nil
		}},
	}
}

func forgetExit(o *spec.Observed) {
	if o.Instance != nil && o.Instance.Exit != nil {
		o.Instance.Exit = &spec.Exit{At: o.Instance.Exit.At}
	}
}

func forgetOwner(o *spec.Observed) {
	if o.Stamp != nil {
		o.Stamp.Owner = spec.Owner{}
	}
}

func abandonChildren(m *mutant, s *spec.Step) bool {
	m.w.do(func() {
		if r := m.w.daemon(s.Name).run; r != nil {
			r.procs = r.procs[:1]
		}
	})
	return true
}

func crash(m *mutant, s *spec.Step) bool {
	if m.Alive(s.Name) > 0 {
		m.Crash(s.Name, spec.Exit{})
	}
	return true
}

func force(_ *mutant, s *spec.Step) bool {
	s.Force = true
	return true
}

func keepSecrets(m *mutant, s *spec.Step) bool {
	for _, secret := range s.Want.Secrets {
		if err := os.WriteFile(filepath.Join(m.dir, "record"), []byte(secret.Reveal()), 0o600); err != nil {
			panic(err)
		}
	}
	return true
}

// mutantEnv names the mutant that this test program is to put to the suite.
const mutantEnv = "DRIVERSTEST_MUTANT"

// TestMutant is the suite over a mutant, for TestEveryMutantIsFound. By itself it has nothing to do.
func TestMutant(t *testing.T) {
	m, ok := mutants()[os.Getenv(mutantEnv)]
	if !ok {
		return
	}
	Run(t, func(t *testing.T) Subject {
		m := m
		m.Fake, m.dir = NewFake(), t.TempDir()
		s := m.Subject()
		s.Driver, s.Dirs, s.Patience = &m, []string{m.dir}, time.Second
		return s
	})
}

// TestEveryMutantIsFound shows that cases can fail: each fault is found by the case that is about it.
func TestEveryMutantIsFound(t *testing.T) {
	for name, m := range mutants() {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			group, one, _ := strings.Cut(m.found, "/")
			c := exec.CommandContext(t.Context(), os.Args[0], "-test.run=^TestMutant$/^"+group+"$/^"+one+"$")
			c.Env = append(os.Environ(), mutantEnv+"="+name)
			out, err := c.CombinedOutput()
			if err == nil || !strings.Contains(string(out), "--- FAIL: TestMutant/"+m.found) {
				t.Errorf("%s didn't find it: %v\n%s", m.found, err, out)
			}
		})
	}
}
