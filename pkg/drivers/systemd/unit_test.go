package systemd

import (
	"os"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"reconciler.dev/reconciler/pkg/spec"
)

func unitOf(t *testing.T, manifest string, change func(*spec.Daemon)) []byte {
	t.Helper()
	text, err := os.ReadFile("testdata/" + manifest + ".yaml")
	if err != nil {
		t.Fatal(err)
	}
	d := daemonOf(t, string(text))
	if change != nil {
		change(d)
	}
	s := stampOf1(d)
	s.Generation = int64(len(d.Digest))
	u, err := Render(d, s, factsOf(252, false))
	if err != nil {
		t.Fatal(err)
	}
	return u.Text
}

// A unit is only read again where that makes a difference to the daemon.
func TestSame(t *testing.T) {
	before := unitOf(t, "full", nil)
	for _, tt := range []struct {
		name         string
		change       func(*spec.Daemon)
		same, limits bool
	}{
		{"nothing", nil, true, true},
		{"the digest, and so generation and description", func(d *spec.Daemon) { d.Digest = "sha256:other" }, true, true},
		{"an annotation", func(d *spec.Daemon) { d.Annotations = map[string]string{"a": "b"} }, true, true},
		{"health", func(d *spec.Daemon) { d.Spec.HealthURL = "http://x" }, true, true},
		{"a limit", func(d *spec.Daemon) { d.Spec.Cgroup.CPULimit = 500 }, false, true},
		{"limits that are gone", func(d *spec.Daemon) {
			d.Spec.Cgroup.CPULimit, d.Spec.Cgroup.PidsLimit, d.Spec.Cgroup.IOWeight = 0, 0, 0
		}, false, true},
		{"the slice", func(d *spec.Daemon) { d.Spec.Cgroup.Slice = "other.slice" }, false, false},
		{"an argument", func(d *spec.Daemon) { d.Spec.Args[0] = "x" }, false, false},
		{"the stop signal", func(d *spec.Daemon) { d.Spec.Stop.Signal = "SIGHUP" }, false, false},
	} {
		after := unitOf(t, "full", tt.change)
		if Same(before, after) != tt.same || SameButLimits(before, after) != tt.limits || cmp.Equal(Settings(before), Settings(after)) != tt.same {
			t.Errorf("%s: same %v, but for limits %v; want %v, %v", tt.name, Same(before, after), SameButLimits(before, after), tt.same, tt.limits)
		}
	}
}

// Who edits a unit is told what of.
func TestChanges(t *testing.T) {
	unit := string(unitOf(t, "full", nil))
	for _, tt := range []struct {
		name, from, to string
		want           []spec.Drift
	}{
		{"nothing", "", "", nil},
		{"a comment", "[Service]\n", "# mine\n\n[Service]\n", nil},
		{"the description", "Description=worker", "Description=mine", nil},
		{"a value", "\nNice=5\n", "\nNice=0\n", []spec.Drift{{Field: "unit Service.Nice", Want: "5", Have: "0", Class: spec.Restarted}}},
		{"a line less", "\nUser=www-data\n", "\n", []spec.Drift{{Field: "unit Service.User", Want: "www-data", Class: spec.Restarted}}},
		{"a line more", "[Service]\n", "[Service]\nPrivateTmp=yes\n", []spec.Drift{{Field: "unit Service.PrivateTmp", Have: "yes", Class: spec.Restarted}}},
		{"a limit", "MemoryMax=1073741824", "MemoryMax=1", []spec.Drift{{Field: "unit Service.MemoryMax", Want: "1073741824", Have: "1", Class: spec.Live}}},
		{"when it is started", "multi-user.target", "graphical.target", []spec.Drift{{Field: "unit Install.WantedBy", Want: "multi-user.target", Have: "graphical.target", Class: spec.Live}}},
		{"a command twice", "[Service]\n", "[Service]\nExecStop=/bin/true\n", []spec.Drift{{
			Field: "unit Service.ExecStop", Class: spec.Restarted,
			Want: `-+@/usr/local/bin/reconciler reconciler-stop "http://127.0.0.1:8080/stop?why=100%%25&by=$$USER" 90000`,
			Have: `/bin/true -+@/usr/local/bin/reconciler reconciler-stop "http://127.0.0.1:8080/stop?why=100%%25&by=$$USER" 90000`,
		}}},
	} {
		edited := strings.Replace(unit, tt.from, tt.to, 1)
		if d := cmp.Diff(tt.want, Changes([]byte(unit), []byte(edited))); d != "" {
			t.Errorf("%s: -want +got\n%s", tt.name, d)
		}
		if Intact([]byte(edited)) != (edited == unit) {
			t.Errorf("%s: intact is %v", tt.name, Intact([]byte(edited)))
		}
	}
	if Intact([]byte("[Service]\nExecStart=/bin/true\n")) {
		t.Error("what isn't ours counts as intact")
	}
}
