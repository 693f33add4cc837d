package systemd

import (
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"reconciler.dev/reconciler/internal/atomicfile"
	"reconciler.dev/reconciler/internal/testprog"
	"reconciler.dev/reconciler/pkg/drivers"
	"reconciler.dev/reconciler/pkg/spec"
	"reconciler.dev/reconciler/test/labhost"
)

// TestSockets is what of sockets the conformance suite can't know: their units.
func TestSockets(t *testing.T) {
	labhost.Test(t, labhost.Systemd, func(t *testing.T) {
		for name, run := range map[string]func(*rig){
			"neither a start nor a change costs a reload":             (*rig).socketsWithoutReload,
			"who connects while systemd waits for a restart":          (*rig).socketsOverCrashes,
			"what somebody does to their units":                       (*rig).socketDrift,
			"a file that isn't ours in the place of one":              (*rig).foreignSocket,
			"all is gone with the last daemon that has one":           (*rig).socketsGone,
			"a start that comes to nothing leaves those of the last":  (*rig).socketsWithdrawn,
			"the file of one is the daemon's, and is made anew":       (*rig).socketFiles,
			"what a start that was killed has left is swept":          (*rig).socketsSwept,
			"two instances of a daemon share theirs":                  (*rig).socketsShared,
			"what all need is put back when others took it away":      (*rig).socketsWithoutWaitUnit,
			"somebody listens where it wants to, and goes on with it": (*rig).socketTaken,
		} {
			t.Run(name, func(t *testing.T) { run(newRig(t)) })
		}
	})
}

// on declares a daemon that answers on sockets.
func on(listen ...string) func(*spec.Daemon, *testprog.Options) {
	return func(d *spec.Daemon, o *testprog.Options) { o.Accept, d.Spec.Listen = true, listen }
}

// connect connects to a socket, which must be listened on.
func (r *rig) connect(socket string) net.Conn {
	r.Helper()
	network, address, _ := strings.Cut(socket, "://")
	c, err := net.Dial(network, address)
	if err != nil {
		r.Fatal(err)
	}
	r.Cleanup(func() { c.Close() })
	return c
}

// answers fails unless a connection is answered by the main process of a daemon.
func (r *rig) answers(c net.Conn, name string) {
	r.Helper()
	if err := c.SetDeadline(time.Now().Add(20 * time.Second)); err != nil {
		r.Fatal(err)
	}
	got, err := io.ReadAll(c)
	var fd, pid int
	if _, scanErr := fmt.Sscan(string(got), &fd, &pid); scanErr != nil {
		r.Fatalf("the answer is %q (%v)", got, err)
	}
	if i := r.look(name).Instance; i == nil || i.PID != pid {
		r.Errorf("process %d answers, and %s is %+v", pid, name, i)
	}
}

func (r *rig) socketsWithoutReload() {
	const a, b, c = "tcp://127.0.0.1:4201", "tcp://127.0.0.1:4202", "tcp://127.0.0.1:4203"
	r.begin(r.daemon("web", on(a, b)))
	for i, listen := range [][]string{{a, b}, {b, a}, {b, c}, {c}, {a, b, c}} {
		d := r.daemon("web", on(listen...), func(d *spec.Daemon, _ *testprog.Options) { d.Labels = map[string]string{"n": fmt.Sprint(i)} })
		r.must(spec.VerbStop, d)
		o := r.begin(d)
		for _, socket := range listen {
			r.answers(r.connect(socket), "web")
		}
		if len(o.Drift) > 0 {
			r.Errorf("drift %+v", o.Drift)
		}
		r.must(spec.VerbStamp, d)
	}
	if n := r.Reloads(); n != 0 {
		r.Errorf("the manager was reloaded %d times", n)
	}
	if left := r.run("systemctl", "show", "-p", "NeedDaemonReload", "--value", "web.service"); strings.TrimSpace(left) != "no" {
		r.Errorf("it needs a reload: %s", left)
	}
}

func (r *rig) socketsOverCrashes() {
	const socket = "tcp://127.0.0.1:4204"
	r.begin(r.daemon("web", on(socket), func(d *spec.Daemon, _ *testprog.Options) { d.Spec.Restart.Backoff.Initial = spec.Duration(time.Second) }))
	for range 3 {
		before := r.look("web").Instance
		if err := syscall.Kill(before.PID, syscall.SIGKILL); err != nil {
			r.Fatal(err)
		}
		r.eventually("it waits to be started again", func() bool { return r.look("web").Restarting })
		var waiting []net.Conn
		for range 30 { // more than TriggerLimitBurst=
			waiting = append(waiting, r.connect(socket))
		}
		if o := r.look("web"); !o.Restarting {
			r.Errorf("who connects had it started before its time: %s %+v", o.State, o.Instance)
		}
		for _, c := range waiting {
			r.answers(c, "web")
		}
	}
}

func (r *rig) socketDrift() {
	const socket = "tcp://127.0.0.1:4205"
	d := r.daemon("web", on(socket))
	first := r.begin(d)
	unit := socketUnits(first.Stamp)[0]
	path := r.scope.file(unit)
	for name, tamper := range map[string]func(){
		"edited":    func() { r.write(path, strings.Replace(string(r.readPart(unit).text), "Backlog=65536", "Backlog=1", 1)) },
		"removed":   func() { r.noError(os.Remove(path)) },
		"a drop-in": func() { r.write(filepath.Join(r.scope.units, unit+".d", "x.conf"), "[Socket]\nBacklog=1\n") },
		"reloaded": func() {
			r.write(path, "[Socket]\nListenStream=1\n")
			r.systemctl("daemon-reload")
		},
	} {
		tamper()
		o := r.look("web")
		if len(o.Drift) != 1 || o.Drift[0].Field != "spec.listen[0]" || o.Drift[0].Class != spec.Live {
			r.Errorf("%s: drift %+v", name, o.Drift)
		}
		o = r.must(spec.VerbStamp, d)
		if len(o.Drift) != 0 || o.Instance.ID != first.Instance.ID {
			r.Errorf("%s: put right, it has drift %+v and instance %s, which was %s", name, o.Drift, o.Instance.ID, first.Instance.ID)
		}
		r.answers(r.connect(socket), "web")
	}
	r.systemctl("stop", unit) // which takes the daemon that requires it along
	r.eventually("it is down", func() bool { return r.look("web").State == spec.Exited })
	if o := r.look("web"); len(o.Drift) != 1 || o.Drift[0].Field != "unit.active" {
		r.Errorf("stopped: drift %+v", o.Drift)
	}
	r.begin(d)
	r.answers(r.connect(socket), "web")
}

func (r *rig) noError(err error) {
	r.Helper()
	if err != nil {
		r.Fatal(err)
	}
}

func (r *rig) foreignSocket() {
	d := r.daemon("web", on("tcp://127.0.0.1:4206"))
	unit := socketUnits(&spec.Stamp{Metadata: d.Metadata, Spec: d.Spec})[0]
	path := r.scope.file(unit)
	r.write(path, "[Socket]\nListenStream=4206\n")
	if _, err := r.Check(r.Context(), d); !errors.Is(err, drivers.ErrConflict) || !strings.Contains(err.Error(), path) {
		r.Errorf("the check says %v", err)
	}
	if err := r.Apply(r.Context(), r.step(spec.VerbStart, d)); !errors.Is(err, drivers.ErrConflict) {
		r.Errorf("the start says %v", err)
	}
	r.noError(os.Remove(path))
	r.begin(d)
}

// listenFiles are the names of all that there is of sockets.
func (r *rig) listenFiles() (names []string) {
	r.Helper()
	entries, err := os.ReadDir(r.scope.units)
	r.noError(err)
	for _, e := range entries {
		if r.readPart(e.Name()).ours {
			names = append(names, e.Name())
		}
	}
	return names
}

func (r *rig) socketsGone() {
	web, api := r.daemon("web", on("tcp://127.0.0.1:4207")), r.daemon("api", on("tcp://127.0.0.1:4208"))
	r.begin(web)
	r.begin(api)
	if got := r.listenFiles(); len(got) != 3 || got[1] != waitUnit {
		r.Errorf("there are %q", got)
	}
	for _, d := range []*spec.Daemon{web, api} {
		r.must(spec.VerbStop, d)
		r.must(spec.VerbRemove, d)
	}
	if got := r.listenFiles(); len(got) != 0 {
		r.Errorf("there are %q", got)
	}
	if all := r.systemctl("list-units", "--all", "--plain", "--no-legend", "web*.socket", "api*.socket"); strings.TrimSpace(all) != "" {
		r.Errorf("systemd still has\n%s", all)
	}
}

func (r *rig) socketsWithdrawn() {
	const good, taken = "tcp://127.0.0.1:4209", "tcp://127.0.0.1:4210"
	l, err := net.Listen("tcp", "127.0.0.1:4210")
	r.noError(err)
	defer l.Close()
	d := r.daemon("web", on(good))
	r.begin(d)
	units := r.listenFiles()
	r.must(spec.VerbStop, d)
	err = r.Apply(r.Context(), r.step(spec.VerbStart, r.daemon("web", on(taken, good))))
	if err == nil || !strings.Contains(err.Error(), taken) || !strings.Contains(err.Error(), fmt.Sprintf("process %d ", os.Getpid())) {
		r.Errorf("got %v", err)
	}
	if now := r.listenFiles(); !slices.Equal(now, units) {
		r.Errorf("there are %q, and there were %q", now, units)
	}
	c := r.connect(good)
	r.systemctl("start", "web.service") // as at boot
	r.answers(c, "web")
	if err := r.Apply(r.Context(), r.step(spec.VerbStart, r.daemon("new", on(taken)))); err == nil {
		r.Error("one that is new listens on what is taken")
	}
	if now := r.listenFiles(); !slices.Equal(now, units) {
		r.Errorf("there are %q, and there were %q", now, units)
	}
}

func (r *rig) socketFiles() {
	path := "/run/socketfiles/x y%.sock"
	d := r.daemon("web", on("unix://"+path), func(d *spec.Daemon, _ *testprog.Options) {
		umask := spec.Mode(0o007)
		d.Spec.User, d.Spec.Umask = "nobody", &umask
	})
	r.noError(errors.Join(os.Chmod(r.dir, 0o777), os.Chmod(filepath.Dir(r.dir), 0o755)))
	r.begin(d)
	look := func() {
		r.Helper()
		fi, err := os.Lstat(path)
		r.noError(err)
		if st := fi.Sys().(*syscall.Stat_t); fi.Mode() != os.ModeSocket|0o660 || st.Uid != 65534 || st.Gid != 65534 {
			r.Errorf("it has mode %v, user %d, group %d", fi.Mode(), st.Uid, st.Gid)
		}
		r.answers(r.connect("unix://"+path), "web")
	}
	look()
	r.must(spec.VerbStop, d)
	r.noError(os.Remove(path))
	r.begin(d)
	look()
	r.must(spec.VerbStop, d)
	r.must(spec.VerbRemove, d)
	if _, err := os.Lstat(path); !errors.Is(err, os.ErrNotExist) {
		r.Errorf("its file is there still: %v", err)
	}
}

func (r *rig) socketsSwept() {
	d := r.daemon("web", on("tcp://127.0.0.1:4213"))
	r.begin(d)
	p, err := r.render(r.Context(), r.daemon("killed", on("tcp://127.0.0.1:4214")), &spec.Stamp{Metadata: spec.Metadata{Name: "killed"}})
	r.noError(err)
	r.noError(r.putSockets(r.Context(), p))
	orphan := p.sockets[0].Name
	keep := func() {
		r.Helper()
		if _, err := r.Housekeep(r.Context()); err != nil {
			r.Fatal(err)
		}
	}
	if keep(); !r.readPart(orphan).ours {
		t := r.listenFiles()
		r.Errorf("what was just made is swept: there are %q", t)
	}
	old := time.Now().Add(-2 * atomicfile.Stale)
	for _, unit := range r.listenFiles() {
		r.noError(os.Chtimes(r.scope.file(unit), old, old))
	}
	keep()
	want := append([]string{waitUnit}, socketUnits(&spec.Stamp{Metadata: d.Metadata, Spec: d.Spec})...)
	if got := r.listenFiles(); !slices.Equal(got, want) {
		r.Errorf("there are %q, want %q", got, want)
	}
}

// socketsWithoutWaitUnit is a start to whose socket the last of somebody else's, who keeps another state directory, has just gone.
func (r *rig) socketsWithoutWaitUnit() {
	d := r.daemon("web", on("tcp://127.0.0.1:4217"))
	p, err := r.render(r.Context(), d, &spec.Stamp{Metadata: d.Metadata})
	r.noError(err)
	r.noError(r.putSockets(r.Context(), p))
	r.noError(os.Remove(r.scope.file(waitUnit)))
	l, err := r.bus.get(r.Context())
	r.noError(err)
	if err := r.openSockets(r.Context(), l, p); err != nil || !r.readPart(waitUnit).ours {
		r.Errorf("got %v, and there are %q", err, r.listenFiles())
	}
	r.connect("tcp://127.0.0.1:4217")
	r.noError(r.dropSockets(r.Context(), l, &spec.Stamp{Metadata: d.Metadata, Spec: d.Spec}, nil))
}

func (r *rig) socketsShared() {
	old := r.daemon("web", on("tcp://127.0.0.1:4211"))
	r.begin(old)
	units, err := r.sharedSockets("web_1")
	if r.noError(err); !slices.Equal(units, socketUnits(&spec.Stamp{Metadata: old.Metadata, Spec: old.Spec})) {
		r.Errorf("another instance of web would share %q", units)
	}
	if units, err := r.sharedSockets("web-next"); err != nil || len(units) != 0 {
		r.Errorf("another daemon would share %q, %v", units, err)
	}
}

func (r *rig) socketTaken() {
	path := filepath.Join(r.dir, "x.sock")
	l, err := net.Listen("unix", path)
	r.noError(err)
	defer l.Close()
	go func() {
		for c, err := l.Accept(); err == nil; c, err = l.Accept() {
			io.WriteString(c, "still here")
			c.Close()
		}
	}()
	err = r.Apply(r.Context(), r.step(spec.VerbStart, r.daemon("web", on("unix://"+path))))
	if err == nil || !strings.Contains(err.Error(), "somebody else listens there") {
		r.Errorf("got %v", err)
	}
	if got, err := io.ReadAll(r.connect("unix://" + path)); string(got) != "still here" {
		r.Errorf("they answer %q, %v", got, err)
	}
}
