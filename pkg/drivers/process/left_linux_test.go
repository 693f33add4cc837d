package process

import (
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"reconciler.dev/reconciler/internal/layout"
	"reconciler.dev/reconciler/internal/procfs"
	"reconciler.dev/reconciler/pkg/spec"
)

func TestLeft(t *testing.T) {
	boot, err := procfs.BootID()
	if err != nil {
		t.Fatal(err)
	}
	inst := func(boot string) *spec.Instance {
		return &spec.Instance{ID: someID, PID: 7, StartTicks: 1, BootID: boot}
	}
	ended := func(i *spec.Instance) *spec.Instance { i.Exit = &spec.Exit{At: time.Now()}; return i }
	stamp := func(name string) *spec.Stamp { return &spec.Stamp{Metadata: spec.Metadata{Name: name}} }
	dirs := layout.Under(t.TempDir())
	s := newStore(dirs, spec.DriverCgroup)
	for _, r := range []*record{
		{Name: "runs", Instance: inst(boot)},
		{Name: "its-leader-ended", Instance: ended(inst(boot))},
		{Name: "gone", Instance: ended(inst(boot)), Gone: true},
		{Name: "of-another-boot", Instance: inst("another")},
		{Name: "just-started", By: &actor{PID: 8, StartTicks: 1, BootID: boot}, Intent: &intent{Stamp: stamp("just-started"), Instance: inst("")}},
	} {
		r.Version = recordVersion
		if r.Intent == nil {
			r.Stamp = stamp(r.Name)
		}
		if err := s.write(r); err != nil {
			t.Fatal(err)
		}
	}
	if err := os.WriteFile(filepath.Join(s.dir, "damaged.json"), []byte("{"), 0o600); err != nil {
		t.Fatal(err)
	}
	got, err := Left(dirs, spec.DriverCgroup)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff([]string{"damaged", "its-leader-ended", "just-started", "runs"}, got); diff != "" {
		t.Error(diff)
	}
	if got, err := Left(dirs, spec.DriverProcess); err != nil || got != nil {
		t.Errorf("another driver has left %v (%v)", got, err)
	}
}
