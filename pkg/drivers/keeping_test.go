package drivers_test

import (
	"errors"
	"testing"

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
