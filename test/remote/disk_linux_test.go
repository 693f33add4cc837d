package remote

import (
	"slices"
	"testing"
)

// testDisk fills the disk of a host, before it has an agent and after. What can't be done says why, what runs goes on, and when there is room again all is done, with no half of a file left.
func testDisk(t *testing.T, s *site) {
	host := s.hosts[len(s.hosts)-1]
	fill := func(full bool) {
		t.Helper()
		if err := host.Fill(full); err != nil {
			t.Fatal(err)
		}
	}
	t.Cleanup(func() { fill(false) })

	t.Run("before it has an agent", func(t *testing.T) {
		if err := host.Command(t.Context(), "rm", "-rf", "/root/.cache/reconciler").Run(); err != nil {
			t.Fatal(err)
		}
		o := s.newOffice(t)
		d := o.daemon(host, "first", "process").declare()
		fill(true)
		p := o.run("apply", "-f", o.manifests())
		fill(false)
		if p.wait() == 0 {
			t.Errorf("it was done on a full disk:\n%v", p)
		}
		p.said(host.Name, "there is no room for the agent")
		if c := d.copies(); len(c) > 0 {
			t.Errorf("started: %v", c)
		}
		o.ok("apply", "--wait", "-f", o.manifests()).said("daemon/" + d.name + " created")
		d.isOnce(1)
	})
	t.Run("while a run keeps its daemons", func(t *testing.T) {
		o := s.newOffice(t)
		loop, unit := o.daemon(host, "loop", "process").declare(), o.daemon(host, "unit", "systemd").declare()
		loop.spec = "  files: [{path: /etc/" + loop.name + ".conf, content: one}]\n"
		loop.declare()
		run := o.keep()
		first := map[*daemon]int{loop: loop.becomesWhatIsDeclared(0), unit: unit.becomesWhatIsDeclared(0)}
		fill(true)
		loop.spec = "  files: [{path: /etc/" + loop.name + ".conf, content: " + longText() + "}]\n"
		loop.change(1)
		unit.change(1)
		run.says("no space left on device")
		for _, d := range []*daemon{loop, unit} {
			if c := d.copies(); len(c) > 1 {
				t.Errorf("%s has copies: %v", d.name, c)
			}
		}
		fill(false)
		for _, d := range []*daemon{loop, unit} {
			d.becomesWhatIsDeclared(first[d])
		}
		eventually(t, "get says that all are Ready", func() bool {
			now := o.get(host.Name)
			return !slices.ContainsFunc([]*daemon{loop, unit}, func(d *daemon) bool { return now[d.name].is("Ready") != "True" })
		})
		run.interrupt()
		o.ok("apply", "-f", o.manifests()).said("daemon/"+loop.name+" unchanged", "daemon/"+unit.name+" unchanged")
		loop.isOnce(2)
		unit.isOnce(2)
	})
}

// longText is more than fits a disk that has a block left.
func longText() string { return string(slices.Repeat([]byte("x"), 16<<10)) }
