package spec

import (
	"fmt"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// fleetOf is a fleet of three: gpu-1 and gpu-2, and this machine as it calls itself.
const fleetOf = `apiVersion: reconciler.dev/v1
kind: Host
metadata: {name: gpu-1, labels: {gpu: "yes", zone: a, example.com/rack: r1}}
spec: {address: 10.0.0.1, port: 2222}
---
apiVersion: reconciler.dev/v1
kind: Host
metadata: {name: gpu-2, labels: {gpu: "yes", zone: b, example.com/rack: r2}}
spec: {address: "fd00::2", user: ops}
---
apiVersion: reconciler.dev/v1
kind: Host
metadata: {name: desk, labels: {role: dev, zone: a}}
---
`

// daemonOn is a manifest of a daemon, with lines of its spec.
func daemonOn(name, lines string) string {
	return strings.Replace(head, "web", name, 1) + lines + "---\n"
}

func isDesk(host string) bool { return host == "desk" }

// placed places what text declares beside the fleet, and tells each placement as HOST: DAEMON(SPEC.HOST) ...
func placed(t *testing.T, text string) ([]Placement, error) {
	t.Helper()
	docs, err := ParseAll("f.yaml", []byte(fleetOf+text))
	if err != nil {
		t.Fatal(err)
	}
	return Place(docs.Daemons, docs.Hosts, isDesk)
}

func TestDaemonsArePlacedOnTheirHosts(t *testing.T) {
	for _, tt := range []struct{ name, in, want string }{
		{"no host is this machine", daemonOn("a", ""), "here: a"},
		{"so are its own names", daemonOn("a", "") + daemonOn("b", "  host: localhost\n") + daemonOn("c", "  host: desk\n") + daemonOn("d", "  host: \"::1\"\n"), "here (desk): a b c d"},
		{"a declared host", daemonOn("a", "  host: gpu-2\n"), "gpu-2 (gpu-2): a"},
		{"hosts that nobody declared, after the others", daemonOn("a", "  host: root@10.0.0.9:22\n") + daemonOn("b", "  host: alias\n") + daemonOn("c", "  host: gpu-1\n") + daemonOn("d", ""),
			"here: d | gpu-1 (gpu-1): c | root@10.0.0.9:22: a | alias: b"},
		{"a selector makes copies", daemonOn("a", "  hostSelector: {matchLabels: {gpu: \"yes\"}}\n"), "gpu-1 (gpu-1): a | gpu-2 (gpu-2): a"},
		{"all its labels count, and this machine is a host too", daemonOn("a", "  hostSelector: {matchLabels: {zone: a}}\n") + daemonOn("b", "  hostSelector: {matchLabels: {zone: a, gpu: \"yes\"}}\n"),
			"here (desk): a | gpu-1 (gpu-1): a b"},
		{"an empty one chooses all", daemonOn("a", "  hostSelector: {matchLabels: {}}\n"), "here (desk): a | gpu-1 (gpu-1): a | gpu-2 (gpu-2): a"},
		{"a name may be had once on each host", daemonOn("a", "  host: gpu-1\n") + daemonOn("a", "  host: gpu-2\n") + daemonOn("a", ""),
			"here: a | gpu-1 (gpu-1): a | gpu-2 (gpu-2): a"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			all, err := placed(t, tt.in)
			if err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(tt.want, told(all)); diff != "" {
				t.Error(diff)
			}
			for _, at := range all {
				for _, m := range at.Daemons {
					if m.Spec.Host != at.Host || m.Spec.HostSelector != nil {
						t.Errorf("%s of %q has host %q and selector %v", m.Metadata.Name, at.Host, m.Spec.Host, m.Spec.HostSelector)
					}
				}
			}
		})
	}
}

// told is what came of a Place, as HOST (DECLARED): DAEMON ... | ...
func told(all []Placement) string {
	var out []string
	for _, at := range all {
		line := at.Host
		if at.Host == "" {
			line = "here"
		}
		if at.Declared != nil {
			line += " (" + at.Declared.Metadata.Name + ")"
		}
		line += ":"
		for _, m := range at.Daemons {
			line += " " + m.Metadata.Name
		}
		out = append(out, line)
	}
	return strings.Join(out, " | ")
}

func TestPlaceTellsWhatCantBe(t *testing.T) {
	for _, tt := range []struct{ name, in, want string }{
		{"a selector that chooses nothing", daemonOn("a", "  hostSelector: {matchLabels: {gpu: \"no\"}}\n"),
			"f.yaml:20:17: spec.hostSelector: this chooses none of the 3 declared hosts"},
		{"one name twice on a host, by ways that only a host shows", daemonOn("a", "  host: gpu-1\n") + daemonOn("a", "  hostSelector: {matchLabels: {gpu: \"yes\"}}\n"),
			"f.yaml:24:18: metadata.name: a is declared twice, first in f.yaml:15"},
		{"one file twice on a host", daemonOn("a", "  files: [{path: /etc/x, content: a}]\n") + daemonOn("b", "  host: desk\n  files: [{path: /etc/x, content: b}]\n"),
			"f.yaml:28:18: spec.files[0].path: /etc/x is written by daemon a too, in f.yaml:15"},
		{"a cycle on one host only", daemonOn("a", "  host: gpu-1\n  dependsOn: [{name: b}]\n") + daemonOn("b", "  hostSelector: {matchLabels: {zone: a, gpu: \"yes\"}}\n  dependsOn: [{name: a}]\n"),
			"f.yaml:29:22: spec.dependsOn[0].name: this is a cycle: a -> b -> a"},
		{"a dependency on another host's", daemonOn("a", "  host: gpu-1\n  dependsOn: [{name: b}, {name: elsewhere}]\n") + daemonOn("b", "  host: gpu-2\n"),
			"f.yaml:21:22: spec.dependsOn[0].name: b is declared, but not for host gpu-1, and a daemon waits for those of its own host only"},
		{"one host by two names", daemonOn("a", "  host: gpu-1\n") + daemonOn("b", "  host: \"10.0.0.1:2222\"\n"),
			"f.yaml:27:9: spec.host: gpu-1 and 10.0.0.1:2222 are one host, and each would prune what is the other's: name it in one way"},
		{"a label that a host lacks", daemonOn("a", "  hostSelector: {matchLabels: {}}\n  args: [$(HOST_LABEL_gpu)]\n"),
			"f.yaml:21:10: spec.args[0]: $(HOST_LABEL_gpu): host desk has no label \"gpu\"; it has role, zone"},
		{"a URL that isn't one on a host", daemonOn("a", "  host: gpu-1\n  healthURL: \"http://localhost:$(HOST_LABEL_zone)/\"\n"),
			"f.yaml:21:14: spec.health.url: this is not a URL, as in http://localhost:8080/health; on host gpu-1 it is \"http://localhost:a/\""},
	} {
		t.Run(tt.name, func(t *testing.T) {
			all, err := placed(t, tt.in)
			if diff := cmp.Diff(tt.want, fmt.Sprint(err)); diff != "" || all != nil {
				t.Error(diff)
			}
		})
	}
}
