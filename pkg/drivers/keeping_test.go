package drivers_test

import (
	"context"
	"errors"
	"slices"
	"testing"

	"github.com/google/go-cmp/cmp"

	"reconciler.dev/reconciler/pkg/drivers"
	"reconciler.dev/reconciler/pkg/drivers/driverstest"
	"reconciler.dev/reconciler/pkg/spec"
)

func TestKeepingLooksAfterWhatThereIsAndStartsNothing(t *testing.T) {
	fake := driverstest.NewFake()
	want := &spec.Daemon{Metadata: spec.Metadata{Name: "web"}, Spec: spec.Spec{Binary: "/bin/web"}, Digest: "sha256:0"}
	start := spec.Step{Verb: spec.VerbStart, Name: "web", Want: want, Owner: spec.Owner{Set: "default"}, Generation: 1}
	if err := fake.Apply(t.Context(), start); err != nil {
		t.Fatal(err)
	}
	why := &drivers.Unavailable{Kind: spec.DriverProcess, Reason: "it was taken away"}
	d := drivers.Keeping(fake, why)

	found, err := d.Observe(t.Context(), "web")
	if err != nil || found[0].State != spec.Running {
		t.Fatalf("got %+v, %v", found, err)
	}
	start.Name = "other"
	if err := d.Apply(t.Context(), start); !errors.Is(err, why) || !errors.Is(err, drivers.ErrUnsupported) {
		t.Errorf("a start: got %v", err)
	}
	c, ok := drivers.Find[drivers.Checker](d)
	if !ok {
		t.Fatal("nobody can ask it")
	}
	if _, err := c.Check(t.Context(), want); !errors.Is(err, why) {
		t.Errorf("asked: got %v", err)
	}
	stop := spec.Step{Verb: spec.VerbStop, Name: "web", Instance: found[0].Instance.ID}
	remove := spec.Step{Verb: spec.VerbRemove, Name: "web", Instance: found[0].Instance.ID}
	for _, s := range []spec.Step{stop, remove} {
		if err := d.Apply(t.Context(), s); err != nil {
			t.Fatalf("%s: %v", s.Verb, err)
		}
	}
	if names, err := d.List(t.Context()); err != nil || len(names) > 0 {
		t.Errorf("left: %v, %v", names, err)
	}
}

func TestStrandedDaemonsAreUnknownAndLeftAlone(t *testing.T) {
	why := &drivers.Unavailable{Kind: spec.DriverCgroup, Reason: "our group isn't delegated", Remedy: "delegate it"}
	d := drivers.Stranded(why, func() ([]string, error) { return []string{"web"}, nil })
	found, err := d.Observe(t.Context(), "web", "other")
	if err != nil {
		t.Fatal(err)
	}
	want := []spec.Observed{
		{Name: "web", State: spec.Unknown, Driver: spec.DriverCgroup, Message: "driver cgroup has it, and can't be used from here: our group isn't delegated; to mend it: delegate it"},
		{Name: "other", State: spec.Absent, Driver: spec.DriverCgroup},
	}
	if diff := cmp.Diff(want, found); diff != "" {
		t.Error(diff)
	}
	for _, verb := range []spec.Verb{spec.VerbStart, spec.VerbStop, spec.VerbRemove} {
		if err := d.Apply(t.Context(), spec.Step{Verb: verb, Name: "web"}); !errors.Is(err, why) {
			t.Errorf("%s: got %v", verb, err)
		}
	}
	if names, err := d.List(t.Context()); err != nil || !slices.Equal(names, []string{"web"}) {
		t.Errorf("it lists %v (%v)", names, err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	if err := d.Watch(ctx, func(string) { cancel() }); !errors.Is(err, context.Canceled) {
		t.Errorf("watch: %v", err)
	}
}
