package driverstest

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"golang.org/x/sys/unix"

	"reconciler.dev/reconciler/internal/failpoint"
	"reconciler.dev/reconciler/pkg/drivers"
	"reconciler.dev/reconciler/pkg/spec"
)

// A process that is killed is the test program again, which its TestMain has call BeKilled where verbs stands in the environment.
const (
	verbsEnv = "DRIVERSTEST_VERBS"
	// CrashVerb is one of the test's own: it kills the daemon's main process.
	CrashVerb = "Crash"
	// LifeVerbs are all that ever happens to a daemon.
	LifeVerbs = "Start Stamp Stop Start Crash Start Start Stop Remove"
)

// ToBeKilled tells whether this process is one that a test has made in order to kill it.
func ToBeKilled() bool { return os.Getenv(verbsEnv) != "" }

// BeKilled applies the verbs to a daemon, as a command does. A verb that is none of a driver's is the test's own: other does it.
func BeKilled(ctx context.Context, d drivers.Driver, want *spec.Daemon, other func(verb string)) error {
	for verb := range strings.FieldsSeq(os.Getenv(verbsEnv)) {
		o, err := d.Observe(ctx, want.Name)
		if err != nil {
			return err
		}
		s := spec.Step{Verb: spec.Verb(verb), Name: want.Name, Want: want, Generation: 1, Stop: want.Spec.Stop}
		if i := o[0].Instance; i != nil {
			s.Instance = i.ID
		}
		switch s.Verb {
		case spec.VerbStart, spec.VerbStamp, spec.VerbStop, spec.VerbReload, spec.VerbRemove:
			if err := d.Apply(ctx, s); err != nil && !errors.Is(err, drivers.ErrMoved) {
				return err
			}
		case CrashVerb:
			if i := o[0].Instance; i != nil && i.PID != 0 {
				unix.Kill(i.PID, unix.SIGKILL)
			}
		default:
			other(verb)
		}
	}
	return nil
}

// Another returns a run of a test program as a process that applies verbs, with variables by which the program knows what to.
func Another(program, verbs string, env ...string) *exec.Cmd {
	c := exec.Command(program)
	c.Env = append(append(os.Environ(), env...), verbsEnv+"="+verbs)
	return c
}

// WithFailpoints builds the test program of this folder with failpoints.
func WithFailpoints(t testing.TB) string {
	t.Helper()
	program := filepath.Join(t.TempDir(), "crashing.test")
	if out, err := exec.CommandContext(t.Context(), "go", "test", "-c=true", "-tags", "failpoints", "-o", program, ".").CombinedOutput(); err != nil {
		t.Fatalf("build the test program with failpoints: %v\n%s", err, out)
	}
	return program
}

// KilledAt has a process killed where it passes point for the first time, another one where it does for the second, and so on until one isn't killed. next makes the nth of them, and
// says what is to be looked at when it has ended. passed tells whether any came there.
func KilledAt(t *testing.T, point failpoint.Point, next func(nth int) (process *exec.Cmd, afterwards func())) (passed bool) {
	t.Helper()
	for nth := 1; ; nth++ {
		c, afterwards := next(nth)
		c.Env = append(c.Env, fmt.Sprintf("%s=%s:%d", failpoint.Env, point, nth))
		out, err := c.CombinedOutput()
		killed := c.ProcessState != nil && c.ProcessState.Sys().(syscall.WaitStatus).Signaled()
		if err != nil && !killed {
			t.Fatalf("the process that was to be killed: %v\n%s", err, out)
		}
		afterwards()
		if !killed {
			return passed
		}
		passed = true
	}
}

// LivesAndEnds brings a daemon to life and to its end, whatever was left of it. truth fails the test where the driver sees something else than there is.
func (r *Rig) LivesAndEnds(d *spec.Daemon, truth func()) {
	r.Helper()
	truth()
	if o := r.Do(spec.VerbStart, d); o.State != spec.Running || o.Stamp == nil || o.Stamp.Digest != d.Digest {
		r.Errorf("after a start it is %s: %s", o.State, o.Message)
	}
	truth()
	if o := r.Do(spec.VerbStop, d); o.State != spec.Exited {
		r.Errorf("after a stop it is %s", o.State)
	}
	truth()
	if o := r.Do(spec.VerbRemove, d); o.State != spec.Absent {
		r.Errorf("after the removal it is %s", o.State)
	}
}
