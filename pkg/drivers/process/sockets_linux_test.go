package process

import (
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"golang.org/x/sys/unix"

	"reconciler.dev/reconciler/internal/freeport"
	"reconciler.dev/reconciler/internal/sockets"
	"reconciler.dev/reconciler/pkg/drivers"
	"reconciler.dev/reconciler/pkg/spec"
)

// listener is a daemon with sockets that it leaves alone.
func listener(r *rig, name string, listen ...string) *spec.Daemon {
	d := shell(name, "echo ready; exec sleep 1000")
	d.Spec.Listen = listen
	r.Cleanup(func() {
		if err := r.sockets.ReleaseFamily(context.WithoutCancel(r.Context()), name); err != nil {
			r.Error(err)
		}
	})
	return d
}

// listens fails unless somebody listens, or nobody does.
func (r *rig) listens(socket string, want bool) {
	r.Helper()
	network, address, _ := strings.Cut(socket, "://")
	c, err := net.Dial(network, address)
	if err == nil {
		c.Close()
	}
	if (err == nil) != want {
		r.Errorf("%s: %v, want it listened on: %v", socket, err, want)
	}
}

// killHolder kills the process that holds the sockets, as the kernel does that wants memory.
func (r *rig) killHolder() {
	r.Helper()
	comms, err := filepath.Glob("/proc/[0-9]*/cmdline")
	if err != nil {
		r.Fatal(err)
	}
	for _, path := range comms {
		text, err := os.ReadFile(path)
		if err != nil || string(text) != "reconciler-sockets\x00"+r.dirs.Run+"\x00" {
			continue
		}
		var pid int
		if _, err := fmt.Sscanf(path, "/proc/%d/cmdline", &pid); err != nil {
			r.Fatal(err)
		}
		if err := syscall.Kill(pid, syscall.SIGKILL); err != nil {
			r.Fatal(err)
		}
		r.Until("web", func(spec.Observed) bool {
			held, err := r.sockets.Held(r.Context())
			return err == nil && held == nil
		})
		return
	}
	r.Fatal("nobody holds sockets")
}

// TestSocketsOutliveTheirHolder: whoever is killed, the holder or the daemon, the other one has them; and where both were, they are opened again.
func TestSocketsOutliveTheirHolder(t *testing.T) {
	for name, next := range map[string]func(r *rig, d *spec.Daemon){
		"a run looks after it, and the daemon is killed": func(r *rig, d *spec.Daemon) {
			if _, err := r.Housekeep(r.Context()); err != nil {
				r.Fatal(err)
			}
			if err := syscall.Kill(r.Look("web").Instance.PID, syscall.SIGKILL); err != nil {
				r.Fatal(err)
			}
			r.Until("web", func(o spec.Observed) bool { return o.State == spec.Exited })
		},
		"the daemon is stopped": func(r *rig, d *spec.Daemon) { r.Do(spec.VerbStop, d) },
	} {
		t.Run(name, func(t *testing.T) {
			r := newRig(t)
			all := []string{"tcp://" + freeport.Address(t), "unix://" + filepath.Join(t.TempDir(), "x.sock")}
			d := listener(r, "web", all...)
			r.Start(d)
			r.killHolder()
			for _, s := range all {
				r.listens(s, true)
			}
			next(r, d)
			for _, s := range all {
				r.listens(s, true)
			}
			r.Start(d)
		})
	}
	t.Run("both are killed", func(t *testing.T) {
		r := newRig(t)
		socket := "unix://" + filepath.Join(t.TempDir(), "x.sock")
		d := listener(r, "web", socket)
		r.Start(d)
		r.killHolder()
		if err := syscall.Kill(r.Look("web").Instance.PID, syscall.SIGKILL); err != nil {
			t.Fatal(err)
		}
		r.Until("web", func(o spec.Observed) bool { return o.State == spec.Exited })
		r.listens(socket, false)
		r.Start(d)
		r.listens(socket, true)
	})
}

// TestWhatCantBeListenedOn is said before anything is stopped, where that can be known, and with who has it.
func TestWhatCantBeListenedOn(t *testing.T) {
	r := newRig(t)
	if _, err := r.Check(t.Context(), listener(r, "web", "tcp://192.0.2.1:80")); err == nil || !strings.Contains(err.Error(), "spec.listen[0]: listen on tcp://192.0.2.1:80") ||
		!strings.Contains(err.Error(), "no interface of this machine has that address") {
		t.Errorf("another machine's address: %v", err)
	}
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	d := listener(r, "web", "tcp://"+l.Addr().String())
	if _, err := r.Check(t.Context(), d); err != nil {
		t.Errorf("somebody has it, who may be the daemon as it runs now: %v", err)
	}
	err = r.Apply(t.Context(), r.Step(spec.VerbStart, d))
	if !errors.Is(err, sockets.ErrInUse) || !strings.Contains(err.Error(), fmt.Sprintf("process %d ", os.Getpid())) {
		t.Errorf("somebody has it: %v", err)
	}
	if errors.Is(err, drivers.ErrPermanent) {
		t.Errorf("they may leave: %v", err)
	}
	if o := r.Look("web"); o.State != spec.Absent {
		t.Errorf("it is %s", o.State)
	}
}

// TestHolderIsNobodysChild: it is no part of the daemon, whatever becomes of that.
func TestHolderIsNobodysChild(t *testing.T) {
	r := newRig(t)
	socket := "tcp://" + freeport.Address(t)
	d := listener(r, "web", socket)
	i := r.Start(d).Instance
	if m := r.members(i); len(m) != 1 {
		t.Errorf("the daemon has %d processes: %+v", len(m), m)
	}
	r.kill(i)
	r.Until("web", func(o spec.Observed) bool { return o.State == spec.Exited })
	r.listens(socket, true)
	if err := unix.Kill(i.PID, 0); err == nil {
		t.Errorf("process %d is there still", i.PID)
	}
}
