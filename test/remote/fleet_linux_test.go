package remote

import (
	"fmt"
	"slices"
	"strings"
	"testing"

	"reconciler.dev/reconciler/test/labhost"
)

// testFleet is one apply to all hosts, of which one can't be reached then.
func testFleet(t *testing.T, s *site) {
	for _, tt := range []struct {
		name string
		test func(*testing.T, *office, []*labhost.Host)
	}{
		{"one manifest, a copy on each host", testSelector},
		{"one of the hosts is out of reach", testUnreachable},
	} {
		t.Run(tt.name, func(t *testing.T) { tt.test(t, s.newOffice(t), s.hosts) })
	}
}

// testSelector is one manifest for all hosts with a label. What it says of the host is the host's own, and its health is looked at there, on the host's loopback.
func testSelector(t *testing.T, o *office, hosts []*labhost.Host) {
	for i, h := range hosts {
		zone := []string{"north", "south"}[i%2]
		o.write("host-"+h.Name+".yaml", fmt.Sprintf("apiVersion: reconciler.dev/v1\nkind: Host\nmetadata: {name: %s, labels: {zone: %s}}\nspec: {address: %s}\n", h.Name, zone, h.Addr))
	}
	name := "web-" + o.set
	o.write("web.yaml", fmt.Sprintf(`apiVersion: reconciler.dev/v1
kind: DaemonSpec
metadata: {name: %[1]s}
spec:
  hostSelector: {matchLabels: {zone: south}}
  binary: %[2]s
  args: ["-name=%[1]s", "-dir=%[3]s", "-addr=127.0.0.1:8100", "-secret=HOST", "-child=false", "--", "$(HOST_NAME)", "$(HOST_ADDRESS)", "$(HOST_LABEL_zone)", "$$(HOST_NAME)", "$HOST_NAME"]
  env: {HOST: "$(HOST_NAME)"}
  health: {url: "http://127.0.0.1:8100/healthz", interval: 1s, startPeriod: 10s}
`, name, witnessAt, testifies))
	var south []*daemon
	for i, h := range hosts {
		d := o.daemon(h, "web", "")
		if i%2 == 1 {
			south = append(south, d)
		}
	}
	first := o.ok("apply", "--wait", "-f", o.manifests())
	for _, d := range south {
		first.said(d.host.Name + ": daemon/" + name + " created")
		d.becomes(0, "--", d.host.Name, d.host.Addr, "south", "$(HOST_NAME)", "$HOST_NAME")
		if now := o.get(d.host.Name)[name]; now.is("Ready") != "True" {
			t.Errorf("on %s it isn't Ready: %+v", d.host.Name, now)
		}
	}
	for _, d := range o.daemons {
		if c := d.copies(); !slices.Contains(south, d) && len(c) > 0 {
			t.Errorf("%s has a copy, and isn't in the south: %v", d.host.Name, c)
		}
	}
	again := o.ok("apply", "-f", o.manifests())
	for _, d := range south {
		again.said(d.host.Name + ": daemon/" + name + " unchanged")
		d.isOnce(1)
	}
	o.ok("delete", "-f", o.manifests())
}

// testUnreachable cuts one of the hosts off. Its daemons are Unknown, and neither counted nor pruned; those of the others are applied, and the exit code says that it wasn't all.
func testUnreachable(t *testing.T, o *office, hosts []*labhost.Host) {
	var kept, gone []*daemon
	for _, h := range hosts {
		kept = append(kept, o.daemon(h, "kept", "process").declare())
		gone = append(gone, o.daemon(h, "gone", "process").declare())
	}
	o.ok("apply", "--wait", "-f", o.manifests())
	cut := hosts[3]
	if err := cut.Net(false); err != nil {
		t.Fatal(err)
	}
	for _, d := range gone {
		o.remove(d.file())
	}
	for _, d := range kept {
		d.change(1)
	}
	before := kept[3].becomes(0)
	partial := o.exits(4, "apply", "--wait", "--prune", "--prune-guard=-1", "-f", o.manifests())
	partial.said(cut.Name, "unreachable")
	for i := range hosts {
		pids := gone[i].copies()
		switch {
		case hosts[i] == cut:
			if kept[i].becomes(0) != before || len(pids) != 1 {
				t.Errorf("the host out of reach was changed: %v", pids)
			}
		case len(pids) > 0:
			t.Errorf("not pruned: %v", pids)
		default:
			kept[i].becomesWhatIsDeclared(0)
			kept[i].isOnce(2)
		}
	}
	if err := cut.Net(true); err != nil {
		t.Fatal(err)
	}
	whole := o.ok("apply", "--wait", "--prune", "--prune-guard=-1", "-f", o.manifests())
	whole.said(cut.Name+": daemon/"+kept[3].name+" configured", cut.Name+": daemon/"+gone[3].name+" pruned")
	for i, d := range kept {
		d.isOnce(2)
		if c := gone[i].copies(); len(c) > 0 {
			t.Errorf("not pruned: %v", c)
		}
	}
	if strings.Contains(whole.out.String(), "unreachable") {
		t.Errorf("something is out of reach:\n%v", whole)
	}
	o.ok("delete", "-f", o.manifests())
}
