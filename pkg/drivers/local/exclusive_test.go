package local

import (
	"errors"
	"sync"
	"sync/atomic"
	"testing"

	"reconciler.dev/reconciler/internal/layout"
	"reconciler.dev/reconciler/pkg/drivers"
	"reconciler.dev/reconciler/pkg/drivers/driverstest"
	"reconciler.dev/reconciler/pkg/spec"
)

// two is a machine with two drivers.
func two(t *testing.T) (h *Host, systemd, process *driverstest.Fake) {
	t.Helper()
	dirs := layout.Under(t.TempDir()) // not made yet
	systemd, process = driverstest.NewFake().As(spec.DriverSystemd), driverstest.NewFake()
	return New(dirs, systemd, process), systemd, process
}

func startOf(name string) spec.Step {
	want := &spec.Daemon{Metadata: spec.Metadata{Name: name}, Spec: spec.Spec{Binary: "/bin/" + name, Driver: spec.DriverAuto}, Digest: "sha256:0"}
	return spec.Step{Verb: spec.VerbStart, Name: name, Want: want, Owner: spec.Owner{Set: "default"}, Generation: 1}
}

// TestOneDriverStartsADaemon lets two drivers start the same daemon at once, as two programs that see the machine differently would.
func TestOneDriverStartsADaemon(t *testing.T) {
	h, systemd, process := two(t)
	for range 50 {
		var started, moved atomic.Int32
		var wg sync.WaitGroup
		for _, d := range h.Drivers() {
			wg.Go(func() {
				switch err := d.Apply(t.Context(), startOf("web")); {
				case err == nil:
					started.Add(1)
				case errors.Is(err, drivers.ErrMoved):
					moved.Add(1)
				default:
					t.Error(err)
				}
			})
		}
		wg.Wait()
		if started.Load() != 1 || moved.Load() != 1 || systemd.Alive("web")+process.Alive("web") != 1 {
			t.Fatalf("%d started it, %d were told to look again, %d copies run", started.Load(), moved.Load(), systemd.Alive("web")+process.Alive("web"))
		}
		for _, d := range h.Drivers() {
			remove(t, d, "web")
		}
	}
}

func remove(t *testing.T, d drivers.Driver, name string) {
	t.Helper()
	found, err := d.Observe(t.Context(), name)
	if err != nil {
		t.Fatal(err)
	}
	if found[0].Instance == nil {
		return
	}
	for _, verb := range []spec.Verb{spec.VerbStop, spec.VerbRemove} {
		if err := d.Apply(t.Context(), spec.Step{Verb: verb, Name: name, Instance: found[0].Instance.ID}); err != nil {
			t.Fatal(err)
		}
	}
}

func TestNothingIsStartedThatAnotherDriverMayHave(t *testing.T) {
	h, systemd, process := two(t)
	mine, err := h.Driver(spec.DriverProcess)
	if err != nil {
		t.Fatal(err)
	}
	systemd.Unknown("web", "its unit file can't be read")
	if err := mine.Apply(t.Context(), startOf("web")); !errors.Is(err, drivers.ErrMoved) {
		t.Errorf("unknown to the other driver: got %v", err)
	}
	systemd.Unreachable("the bus is gone")
	if err := mine.Apply(t.Context(), startOf("web")); !errors.Is(err, drivers.ErrUnreachable) {
		t.Errorf("the other driver doesn't answer: got %v", err)
	}
	if process.Alive("web") > 0 {
		t.Error("it was started all the same")
	}
	systemd.Unreachable("")
	systemd.Unknown("web", "")
	if err := mine.Apply(t.Context(), startOf("web")); err != nil {
		t.Error(err)
	}
}
