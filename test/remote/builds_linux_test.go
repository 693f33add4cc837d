package remote

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"reconciler.dev/reconciler/test/labhost"
)

// TestBuilds is how programs are built for a host over SSH, here and there, and roll out with a save.
func TestBuilds(t *testing.T) {
	s := newSite(t, 1, labhost.Systemd, nil, labhost.Bind{From: reconciler(t), To: agentAt})
	for _, place := range []string{"host", "controller"} {
		t.Run("on the "+place, func(t *testing.T) { testBuilds(t, s.newOffice(t), s.hosts[0], place) })
	}
}

// builds declares that a daemon's program is built from two parts: the witness, and the version.
func (d *daemon) builds(place string) {
	d.to = "/opt/" + d.name
	const command = `if grep -q broken version.part; then echo 'version.part: it is broken'; exit 1; fi; cat witness.part version.part > bin/worker`
	d.build = fmt.Sprintf("{command: [%s, -c, %q], dir: ../src-%s, inputs: ['*.part'], output: bin/worker, on: %s}", d.compiler(place), command, d.name, place)
	d.declare()
}

// compiler is what builds it: a shell, of its own where it is built on the host.
func (d *daemon) compiler(place string) string {
	if place == "host" {
		return "/opt/compiler-of-" + d.name
	}
	return "sh"
}

// save saves a version of its source, as editors do: a run never sees half of it.
func (d *daemon) save(version string) {
	d.o.t.Helper()
	program, err := os.ReadFile(witness(d.o.t))
	if err != nil {
		d.o.t.Fatal(err)
	}
	src := filepath.Join(d.o.dir, "src-"+d.name)
	d.from = filepath.Join(d.o.dir, d.name)
	if _, err := os.Stat(filepath.Join(src, "witness.part")); err != nil {
		d.o.writeIn(src, "witness.part", string(program))
	}
	d.o.writeIn(d.o.dir, d.name, string(program)+version)
	d.o.writeIn(src, "version.part", version)
}

func testBuilds(t *testing.T, o *office, h *labhost.Host, place string) {
	d := o.daemon(h, "built-"+place, "systemd")
	onHost := func(script string) {
		t.Helper()
		if out, err := h.Command(t.Context(), "sh", "-c", script).CombinedOutput(); err != nil {
			t.Fatalf("%s: %v: %s", script, err, out)
		}
	}
	onHost("mkdir -p /opt; cp /bin/sh /opt/compiler-of-" + d.name)
	d.save("one")
	d.builds(place)
	o.ok("apply", "--wait", "-f", o.manifests()).said("daemon/"+d.name+" created", "building bin/worker")
	d.runsWhatIsDeclared()
	if _, err := h.Get("/var/lib/reconciler/sources/" + d.name + "/bin/worker"); (err == nil) != (place == "host") {
		t.Errorf("what was built on the %s is on the host: %v", place, err)
	}
	before := received(t, h)
	if again := o.ok("apply", "--wait", "-f", o.manifests()); strings.Contains(again.out.String(), "building") {
		t.Errorf("it was built again:\n%v", again)
	}
	if sent := received(t, h) - before; sent > little {
		t.Errorf("%d bytes were sent for a program that the host has", sent)
	}
	o.ok("diff", "-f", o.manifests())
	if place == "host" {
		onHost("echo >> " + d.compiler(place))
		for range 2 { // and the first one didn't build
			o.exits(1, "diff", "-f", o.manifests()).said("rebuild: " + d.compiler(place) + " changed")
		}
		o.ok("apply", "--wait", "-f", o.manifests()).said("built bin/worker on ", "daemon/"+d.name+" unchanged")
		o.ok("diff", "-f", o.manifests())
	}

	d.save("two")
	o.exits(1, "diff", "-f", o.manifests()).said("version.part changed")
	o.ok("build", d.name).said("daemon/" + d.name + " built")
	o.ok("rebuild", d.name, "--wait").said("daemon/" + d.name + " configured")
	d.runsWhatIsDeclared()

	old := d.copies()[0].PID
	d.save("broken")
	if p := o.run("apply", "--wait", "-f", o.manifests()); p.wait() == 0 || !strings.Contains(p.out.String(), "version.part: it is broken") {
		t.Errorf("a source that can't be built is applied:\n%v", p)
	}
	if now := d.copies(); len(now) != 1 || now[0].PID != old {
		t.Errorf("after that %v live, and not %d", now, old)
	}
	d.save("three")
	run := o.keep("-f", o.manifests())
	old = d.becomes(old)
	d.runsWhatIsDeclared()
	d.save("broken again")
	eventually(t, "the run says what is broken", func() bool { return strings.Contains(run.out.String(), "version.part: it is broken") })
	d.save("four")
	d.becomes(old)
	d.runsWhatIsDeclared()
}
