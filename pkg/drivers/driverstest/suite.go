package driverstest

import (
	"context"
	"net"
	"slices"
	"sync"
	"testing"
	"time"

	"reconciler.dev/reconciler/pkg/drivers"
	"reconciler.dev/reconciler/pkg/spec"
)

// Subject is a driver under test, alone on a machine or in directories of its own. It must do config files and pauses too: pass what Decorate returns.
type Subject struct {
	// Driver is the value under test.
	Driver drivers.Driver
	// Reopen returns another value over the same state, as another process would have one.
	Reopen func() drivers.Driver
	// Machine is where the daemons run; nil: here.
	Machine Machine
	// Dirs are where the driver keeps things; no secret may be found in them.
	Dirs []string
	// Enforces are the fields below spec.cgroup that limit something here. All others must be reported as lost.
	Enforces []string
	// Lacks are other fields that the driver can't honour here, as in "spec.nice". A start that needs one must be refused with ErrUnsupported.
	Lacks []string
	// Supervises says that the platform starts a daemon again by itself, as its restart policy says. Cases in which daemons end have one that isn't started again then, and what the
	// platform does is a promise too.
	Supervises bool
	// EndsWithMain says that the platform ends what is left of a daemon whose main process has ended. Others go on as long as anything of it lives.
	EndsWithMain bool
	// Single says that the driver itself runs only one copy of a daemon, as those do that aren't decorated. There are no cases of two then.
	Single bool
	// Patience is how long a case waits for what must happen; 0: a minute.
	Patience time.Duration
	// Foreign puts something that isn't ours in the place of a name; nil where nothing can stand there.
	Foreign func(name string) error
}

// Machine is what the suite needs of the machine where the daemons run, to see them and to act behind the driver's back.
type Machine interface {
	// Program is the path of the test program: see internal/testprog.
	Program() string
	// Broken are paths of programs that can't be started, by what is wrong with them.
	Broken() map[string]string
	// Dir is a fresh directory that anybody may write to.
	Dir(t *testing.T) string
	// Alive tells whether a process runs; one that ended and that nobody reaped doesn't.
	Alive(pid int) bool
	// Signal sends a signal.
	Signal(pid int, s spec.Signal) error
	// Read returns a file's content and mode; an error wraps fs.ErrNotExist where there is none.
	Read(path string) (File, error)
	// Write writes a file with its mode.
	Write(path string, f File) error
	// Remove removes a file.
	Remove(path string) error
	// MakeDir makes a directory with its parents, for everybody.
	MakeDir(path string) error
	// Name gives Program another path.
	Name(path string) error
	// Port is a TCP port that nobody has.
	Port(t *testing.T) int
	// Dial connects to a port, on whatever address it is listened on; an error wraps syscall.ECONNREFUSED where nobody listens.
	Dial(port int) (net.Conn, error)
	// Root tells whether daemons may be given to other users.
	Root() bool
}

// testCase is one promise of pkg/drivers.
type testCase struct {
	name string
	run  func(*bench)
}

// Run proves that a driver keeps every promise of pkg/drivers. newSubject is called for each case and must give each a state of its own; cases run in parallel.
func Run(t *testing.T, newSubject func(t *testing.T) Subject) { RunShare(t, 0, 1, newSubject) }

// RunShare is Run for one share, from 0, of so many equal ones into which the cases are dealt, for those who have many machines on which to prove the same.
func RunShare(t *testing.T, share, of int, newSubject func(t *testing.T) Subject) {
	n := 0
	here := sync.OnceValues(func() (Machine, error) { return newHere(t) })
	for _, group := range []struct {
		name  string
		cases []testCase
	}{
		{"observe", observeCases()}, {"start", startCases()}, {"environment", environmentCases()}, {"exit", exitCases()}, {"stop", stopCases()},
		{"stamp", stampCases()}, {"reload", reloadCases()}, {"remove", removeCases()}, {"files", fileCases()}, {"pause", pauseCases()},
		{"watch", watchCases()}, {"adopt", adoptCases()}, {"refuse", refuseCases()}, {"supervise", superviseCases()},
		{"listen", listenCases()}, {"places", placesCases()}, {"slots", slotCases()}, {"hold", holdCases()},
	} {
		t.Run(group.name, func(t *testing.T) {
			for _, c := range group.cases {
				if n++; n%of != share {
					continue
				}
				t.Run(c.name, func(t *testing.T) {
					t.Parallel()
					s := newSubject(t)
					if s.Machine == nil {
						m, err := here()
						if err != nil {
							t.Fatal(err)
						}
						s.Machine = m
					}
					c.run(newBench(t, s))
				})
			}
		})
	}
}

// lacks tells whether the subject declares that it can't honour field.
func (s Subject) lacks(field string) bool { return slices.Contains(s.Lacks, field) }

// stopAll ends what a case left running, and fails where that doesn't end every process that ever reported.
func (b *bench) stopAll() {
	ctx := context.WithoutCancel(b.t.Context())
	d := b.Reopen()
	names, err := d.List(ctx)
	if err != nil {
		b.t.Errorf("clean up: %v", err)
		return
	}
	found, err := d.Observe(ctx, names...)
	if err != nil {
		b.t.Errorf("clean up: %v", err)
	}
	for _, o := range found {
		if o.Instance == nil {
			continue
		}
		step := spec.Step{Verb: spec.VerbStop, Name: o.Name, Instance: o.Instance.ID, Stop: spec.Stop{Signal: "SIGKILL", GracePeriod: seconds(5)}}
		if err := d.Apply(ctx, step); err != nil {
			b.t.Errorf("clean up: %v", err)
		}
	}
	for _, l := range b.report() {
		if b.m.Alive(l.PID) {
			b.t.Errorf("process %d (%s) outlived a stop of everything", l.PID, l.Role)
			if err := b.m.Signal(l.PID, "SIGKILL"); err != nil {
				b.t.Errorf("clean up: %v", err)
			}
		}
	}
}
