package systemd

import (
	"os"
	"slices"
	"testing"
	"time"

	"reconciler.dev/reconciler/internal/testprog"
	"reconciler.dev/reconciler/pkg/spec"
	"reconciler.dev/reconciler/test/labhost"
)

// A unit's stop URL is posted to by a copy of this program that is there whatever becomes of the program itself: one is made where a unit needs it, is made anew where it is
// another one's, and is left alone where it is the right one.
func TestUnitsKeepTheTool(t *testing.T) {
	labhost.Test(t, labhost.Systemd, func(t *testing.T) {
		r := newRig(t)
		const port = "4100"
		asked := func(d *spec.Daemon, o *testprog.Options) {
			o.HTTP, d.Spec.Stop.URL = "127.0.0.1:"+port, "http://127.0.0.1:"+port+"/stop"
		}
		r.begin(r.daemon("plain"))
		if _, err := os.Stat(r.toolPath()); !os.IsNotExist(err) {
			t.Errorf("nobody needs %s, and it is there (%v)", r.toolPath(), err)
		}
		d := r.daemon("asked", asked)
		r.begin(d)
		r.isThisProgram()
		r.systemctl("stop", "asked.service")
		r.eventually("the stop URL is posted to", func() bool {
			return slices.ContainsFunc(r.report("asked"), func(l testprog.Line) bool { return l.Event == "POST /stop" })
		})
		if err := os.WriteFile(r.toolPath(), []byte("an older one"), 0o755); err != nil {
			t.Fatal(err)
		}
		r.must(spec.VerbStart, d)
		r.isThisProgram()
		if err := os.Chmod(r.toolPath(), 0o701); err != nil {
			t.Fatal(err)
		}
		r.must(spec.VerbStamp, d)
		if fi, err := os.Stat(r.toolPath()); err != nil || fi.Mode().Perm() != 0o701 {
			t.Errorf("the right one was written again: %v, %v", fi.Mode(), err)
		}
	})
}

// isThisProgram fails unless the copy is the program that runs.
func (r *rig) isThisProgram() {
	r.Helper()
	ours, err := os.Stat("/proc/self/exe")
	if err != nil {
		r.Fatal(err)
	}
	have, err := os.Stat(r.toolPath())
	if err != nil {
		r.Fatal(err)
	}
	if have.Size() != ours.Size() || have.ModTime().Sub(ours.ModTime()).Abs() > time.Microsecond || have.Mode().Perm() != 0o755 {
		r.Errorf("%s has %d bytes, mode %v and time %v, want what the program has: %d bytes, %v", r.toolPath(), have.Size(), have.Mode(), have.ModTime(), ours.Size(), ours.ModTime())
	}
}
