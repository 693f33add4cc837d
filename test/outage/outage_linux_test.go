package outage

import (
	"os"
	"os/exec"
	"path/filepath"
	"sync"
	"testing"

	"reconciler.dev/reconciler/internal/loadgen"
	"reconciler.dev/reconciler/test/labhost"
)

func TestMain(m *testing.M) { labhost.Main(m) }

// hostBin is where a host has the programs.
const hostBin = "/lab/outage"

// TestNothingIsRefused while a daemon with a held socket is rebuilt, killed and rolled back, whatever driver keeps it; of one that opens its socket itself, connections are.
func TestNothingIsRefused(t *testing.T) {
	bin := t.TempDir()
	if err := os.Chmod(bin, 0o755); err != nil {
		t.Fatal(err)
	}
	for name, pkg := range map[string]string{"reconciler": "./cmd/reconciler", "hello": "./examples/hello"} {
		cmd := exec.CommandContext(t.Context(), "go", "build", "-o", filepath.Join(bin, name), pkg)
		cmd.Dir, cmd.Env = filepath.Join("..", ".."), append(os.Environ(), "CGO_ENABLED=0")
		if _, err := os.Stat(hostBin); err == nil {
			break // on a host they are there already
		}
		if out, err := cmd.CombinedOutput(); err != nil {
			t.Fatalf("build %s: %v\n%s", pkg, err, out)
		}
	}
	for driver, kind := range map[string]labhost.Kind{"process": labhost.Bare, "cgroup": labhost.Cgroup, "systemd": labhost.Systemd} {
		t.Run(driver, func(t *testing.T) {
			t.Parallel()
			labhost.Test(t, kind, func(t *testing.T) { refusesNothing(t, driver) }, labhost.Bind{From: bin, To: hostBin})
		})
	}
}

func refusesNothing(t *testing.T, driver string) {
	o := Options{
		Reconciler: filepath.Join(hostBin, "reconciler"), Hello: filepath.Join(hostBin, "hello"), Driver: driver, Times: 3, Rate: 200,
	}
	hows := map[string]string{"held": "held", "beside": "held, and the new instance starts first", "own": "its own"}
	if driver != "systemd" { // there PID 1 holds them
		hows["holder"] = "held, and whoever holds it is killed before the daemon is"
	}
	var mu sync.Mutex
	results := map[string]loadgen.Result{}
	var all sync.WaitGroup
	for name := range hows {
		o := o
		o.Dir, o.Name, o.Listen, o.StartFirst, o.Holder = t.TempDir(), name, name != "own", name == "beside", name == "holder"
		all.Go(func() {
			r, err := Run(t.Context(), o)
			if err != nil {
				t.Errorf("%s: %v", hows[name], err)
			}
			mu.Lock()
			defer mu.Unlock()
			results[name] = r
		})
	}
	all.Wait()
	own := results["own"]
	delete(results, "own")
	t.Logf("its own: %s", own)
	for name, r := range results {
		how := hows[name]
		t.Logf("%s: %s", how, r)
		if r.Refused > 0 || r.Late > 0 || r.Other > 0 || r.Answered < r.Sent*9/10 {
			t.Errorf("%s: not all were answered", how)
		}
	}
	if own.Refused == 0 {
		t.Error("without a held socket nothing is refused either: this test shows nothing")
	}
}
