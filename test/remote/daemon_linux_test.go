package remote

import (
	"cmp"
	"errors"
	"fmt"
	"io/fs"
	"slices"
	"strings"

	"golang.org/x/sys/unix"

	"reconciler.dev/reconciler/test/labhost"
)

const (
	witnessAt = "/usr/local/bin/witness"
	testifies = "/var/lib/witness" // where witnesses of root's do
)

// daemon is a witness on a host: see test/e2e/witness.
type daemon struct {
	o      *office
	host   *labhost.Host
	at     string // what the host is called
	name   string
	driver string
	args   []string // beside those that every one has
	spec   string   // more of its spec, in YAML
	// from is the program that is installed of it, a file beside the manifests, and to where; without from it runs what the host has, at to or else the witness.
	from, to string
	// build is how it comes to be instead, in YAML; from is then what that has to come to.
	build string
}

// daemon makes one; it isn't declared yet. It is kept by the driver that the host prefers where driver is empty.
func (o *office) daemon(h *labhost.Host, name, driver string, args ...string) *daemon {
	o.t.Helper()
	d := &daemon{o: o, host: h, at: h.Name, name: name + "-" + o.set, driver: driver, args: args}
	if err := h.Put(testifies+"/readme", nil, 0o644); err != nil { // it makes the directory
		o.t.Fatal(err)
	}
	o.daemons = append(o.daemons, d)
	return d
}

// manifest is the document that declares it.
func (d *daemon) manifest() string {
	spec := d.spec
	if d.driver != "" {
		spec += "  driver: " + d.driver + "\n"
	}
	if !strings.Contains(spec, "  stop:") {
		spec += "  stop: {gracePeriod: 5s}\n"
	}
	args := append([]string{"-name=" + d.name, "-dir=" + testifies}, d.args...)
	program := "binary: " + cmp.Or(d.to, witnessAt)
	if d.build != "" {
		program = fmt.Sprintf("build: %s\n  install: {to: %s}", d.build, d.to)
	} else if d.from != "" {
		program = fmt.Sprintf("install: {from: %s, to: %s}", d.from, d.to)
	}
	return fmt.Sprintf("apiVersion: reconciler.dev/v1\nkind: DaemonSpec\nmetadata: {name: %s}\nspec:\n  host: %s\n  %s\n  args: [%s]\n%s",
		d.name, d.at, program, "'"+strings.Join(args, "', '")+"'", spec)
}

// file is its manifest's name in the folder.
func (d *daemon) file() string { return d.at + "-" + d.name + ".yaml" }

// declare writes its manifest.
func (d *daemon) declare() *daemon {
	d.o.t.Helper()
	d.o.write(d.file(), d.manifest())
	return d
}

// change declares it with one more argument, of no effect: it has to be restarted for that.
func (d *daemon) change(round int) {
	d.o.t.Helper()
	d.args = append(d.args, fmt.Sprintf("-exit=-%d", round+1))
	d.declare()
}

// copies are its living processes.
func (d *daemon) copies() []labhost.Process {
	d.o.t.Helper()
	return processes(d.o, d.host, func(p labhost.Process) bool {
		return slices.Contains(p.Args, "-name="+d.name) && (p.Args[0] == witnessAt || p.Args[0] == d.to)
	})
}

// processes are those of a host that are wanted.
func processes(o *office, h *labhost.Host, wanted func(labhost.Process) bool) []labhost.Process {
	o.t.Helper()
	all, err := h.Processes()
	if err != nil {
		o.t.Fatal(err)
	}
	return slices.DeleteFunc(all, func(p labhost.Process) bool { return !wanted(p) })
}

// testified is what it wrote to one of its files.
func (d *daemon) testified(what string) string {
	d.o.t.Helper()
	text, err := d.host.Get(testifies + "/" + d.name + "." + what)
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		d.o.t.Fatal(err)
	}
	return string(text)
}

// starts is how often it was started.
func (d *daemon) starts() int { return strings.Count(d.testified("starts"), "\n") }

// started tells whether a process has come as far as its own code.
func (d *daemon) started(pid int) bool {
	return strings.Contains("\n"+d.testified("starts"), fmt.Sprintf("\n%d ", pid))
}

// known tells whether the host keeps anything of it.
func (d *daemon) known() bool {
	for _, path := range []string{"/etc/systemd/system/" + d.name + ".service", "/run/reconciler/daemons/" + d.name + ".json", "/run/reconciler/cgroup/" + d.name + ".json", "/home/alice/.config/systemd/user/" + d.name + ".service"} {
		if _, err := d.host.Get(path); err == nil {
			return true
		}
	}
	return false
}

// becomes waits until another process than old is its only one, with these words among its arguments, and returns its number.
func (d *daemon) becomes(old int, words ...string) (pid int) {
	d.o.t.Helper()
	eventually(d.o.t, fmt.Sprintf("%s on %s is one process, another than %d, that has %q", d.name, d.host.Name, old, words), func() bool {
		c := d.copies()
		if len(c) != 1 || c[0].PID == old || !d.started(c[0].PID) || slices.ContainsFunc(words, func(w string) bool { return !slices.Contains(c[0].Args, w) }) {
			return false
		}
		pid = c[0].PID
		return true
	})
	return pid
}

// becomesWhatIsDeclared waits until another process than old runs with the arguments that are declared now.
func (d *daemon) becomesWhatIsDeclared(old int) int {
	d.o.t.Helper()
	return d.becomes(old, d.args...)
}

// kill kills its only process behind everybody's back, and returns which one that was.
func (d *daemon) kill() int {
	d.o.t.Helper()
	c := d.copies()
	if len(c) != 1 {
		d.o.t.Fatalf("%s on %s has %d processes: %v", d.name, d.host.Name, len(c), c)
	}
	if err := d.host.Signal(c[0], unix.SIGKILL); err != nil {
		d.o.t.Fatal(err)
	}
	return c[0].PID
}

// isAsked waits until it was asked to end, which it has no ear for.
func (d *daemon) isAsked() {
	d.o.t.Helper()
	eventually(d.o.t, d.name+" on "+d.host.Name+" is asked to end", func() bool { return d.testified("asked") != "" })
}

// isOnce checks that one process of it lives, that there never were two at once, and that it was started so many times; less than 0 is any number.
func (d *daemon) isOnce(starts int) {
	d.o.t.Helper()
	if c := d.copies(); len(c) != 1 {
		d.o.t.Errorf("%s on %s has %d processes: %v", d.name, d.host.Name, len(c), c)
	}
	if twice := d.testified("duplicates"); twice != "" {
		d.o.t.Errorf("%s on %s: %s", d.name, d.host.Name, twice)
	}
	if n := d.starts(); starts >= 0 && n != starts {
		d.o.t.Errorf("%s on %s was started %d times, want %d", d.name, d.host.Name, n, starts)
	}
}
