package process

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"syscall"
	"testing"

	"reconciler.dev/reconciler/internal/freeport"
	"reconciler.dev/reconciler/internal/pidfd"
	"reconciler.dev/reconciler/pkg/spec"
)

// holderOf returns the process that holds sockets, 0 where there is none.
func (r *rig) holderOf() int {
	r.Helper()
	fd, pid, err := r.sockets.Process(r.Context())
	if err != nil {
		r.Fatal(err)
	}
	fd.Close()
	return pid
}

// socketOf returns which socket a process has as that descriptor.
func (r *rig) socketOf(pid, fd int) string {
	r.Helper()
	to, err := os.Readlink(fmt.Sprintf("/proc/%d/fd/%d", pid, fd))
	if err != nil {
		r.Fatal(err)
	}
	return to
}

// open tells whether a process has a socket open.
func (r *rig) open(pid int, socket string) bool {
	files, err := filepath.Glob(fmt.Sprintf("/proc/%d/fd/*", pid))
	if err != nil {
		r.Fatal(err)
	}
	return slices.ContainsFunc(files, func(f string) bool { to, err := os.Readlink(f); return err == nil && to == socket })
}

// TestAKilledHolderIsReplacedAtOnce by another one, which has the very sockets, with what waits on them: nobody has to wait for Housekeep, or for the daemon's next start.
func TestAKilledHolderIsReplacedAtOnce(t *testing.T) {
	for name, watch := range map[string]func(r *rig, d *spec.Daemon){
		"it was started while the driver watches":        func(r *rig, d *spec.Daemon) { r.watched(); r.Start(d) },
		"it was started before":                          func(r *rig, d *spec.Daemon) { r.Start(d); r.watched() },
		"it was started by somebody else":                func(r *rig, d *spec.Daemon) { r.watched(); r.another().Start(d) },
		"nobody holds its sockets when the watch begins": func(r *rig, d *spec.Daemon) { r.Start(d); r.killHolder(); r.watched() },
		"one is there that has another daemon's, and not": func(r *rig, d *spec.Daemon) {
			r.Start(d)
			r.killHolder()
			r.Start(listener(r, "api", "tcp://"+freeport.Address(r)))
			r.watched()
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			r := newRig(t)
			all := []string{"tcp://" + freeport.Address(t), "unix://" + filepath.Join(t.TempDir(), "x.sock")}
			d := listener(r, "web", all...)
			watch(r, d)
			r.Until("web", func(spec.Observed) bool { return r.holderOf() != 0 && r.Driver.watch.hasHolder() })
			i := r.Look("web").Instance
			sockets := []string{r.socketOf(i.PID, 3), r.socketOf(i.PID, 4)}
			holder := 0
			for range 2 {
				was := r.holderOf()
				if err := syscall.Kill(was, syscall.SIGKILL); err != nil {
					t.Fatal(err)
				}
				r.Until("web", func(spec.Observed) bool {
					holder = r.holderOf()
					return holder != 0 && holder != was && r.open(holder, sockets[0]) && r.open(holder, sockets[1]) && r.Driver.watch.hasHolder()
				})
			}
			r.kill(i)
			r.Until("web", func(o spec.Observed) bool { return o.State == spec.Exited })
			for _, s := range all {
				r.listens(s, true)
			}
			next := r.Start(d).Instance
			if now := []string{r.socketOf(next.PID, 3), r.socketOf(next.PID, 4)}; !slices.Equal(now, sockets) || r.holderOf() != holder {
				t.Errorf("its next instance has %v, and the one before had %v", now, sockets)
			}
		})
	}
}

// TestNobodyIsWatchedWhoHoldsNothing any more.
func TestNobodyIsWatchedWhoHoldsNothing(t *testing.T) {
	r := newRig(t)
	r.watched()
	d := listener(r, "web", "tcp://"+freeport.Address(t))
	r.Start(d)
	if !r.Driver.watch.hasHolder() {
		t.Error("the process that holds its socket isn't watched")
	}
	r.Do(spec.VerbStop, d)
	r.Do(spec.VerbRemove, d)
	r.Until("web", func(spec.Observed) bool { return r.holderOf() == 0 && !r.Driver.watch.hasHolder() })
}

// TestAFailedStartLeavesNoSocketBehind where there was no daemon before: nobody would know of it.
func TestAFailedStartLeavesNoSocketBehind(t *testing.T) {
	r := newRig(t)
	script := filepath.Join(t.TempDir(), "script")
	if err := os.WriteFile(script, []byte("#!/no/such/interpreter\n"), 0o755); err != nil {
		t.Fatal(err)
	}
	d := want("web", script)
	d.Spec.Listen = []string{"tcp://" + freeport.Address(t)}
	if err := r.Apply(t.Context(), r.Step(spec.VerbStart, d)); err == nil {
		t.Fatal("it was started")
	}
	held, err := r.sockets.Held(context.WithoutCancel(t.Context()))
	if err != nil || len(held) > 0 {
		t.Errorf("held are %v, %v", held, err)
	}
	if fd, _, err := r.sockets.Process(t.Context()); err != nil || fd == pidfd.None {
		t.Errorf("nobody was asked to hold anything: %v", err)
	}
}
