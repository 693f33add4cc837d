package spec

import (
	"fmt"
	"maps"
	"reflect"
	"slices"
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
		{"a declared host as another user", daemonOn("a", "  host: root@gpu-1\n  args: [$(HOST_LABEL_zone)]\n") + daemonOn("b", "  host: gpu-1\n"), "gpu-1 (gpu-1): b | root@gpu-1 (gpu-1): a"},
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
		{"and by its own", daemonOn("a", "  host: ops@gpu-2\n") + daemonOn("b", "  host: gpu-2\n"),
			"f.yaml:20:9: spec.host: gpu-2 and ops@gpu-2 are one host, and each would prune what is the other's: name it in one way"},
		{"a label that a host lacks", daemonOn("a", "  hostSelector: {matchLabels: {}}\n  args: [$(HOST_LABEL_gpu)]\n"),
			"f.yaml:21:10: spec.args[0]: host desk has no label \"gpu\"; it has role, zone"},
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

// TestReferencesAreExpanded shows each place where they are, and what stays as it is.
func TestReferencesAreExpanded(t *testing.T) {
	all, err := placed(t, daemonOn("a", `  hostSelector: {matchLabels: {gpu: "yes"}}
  workingDir: /$(HOST_NAME)
  args: [$(HOST_NAME), "a$(HOST_ADDRESS):$(HOST_LABEL_zone)b", --rack=$(HOST_LABEL_example.com/rack), $$(HOST_NAME), $$$(HOST_NAME), $$$$(HOST_NAME), $(HOME), $HOST_NAME, "${HOST_NAME}", $(HOSTNAME), $$(date), "%h", "$$"]
  env: {A: $(HOST_NAME), B: "$$(HOST_NAME)", C: plain, $(HOST_NAME): d, E: {fromFile: $(HOST_NAME)}}
  health: {url: "http://$(HOST_ADDRESS):80/$(HOST_NAME)", interval: 5s}
  metrics: {url: "http://$(HOST_ADDRESS):9121/"}
  stop: {url: "http://localhost/$(HOST_NAME)"}
  reload: {url: "http://$(HOST_LABEL_zone).example.com/$$(HOST_NAME)"}
  log: {path: "/var/log/$(HOST_NAME)"}
  files: [{path: "/etc/$(HOST_NAME)", content: $(HOST_NAME)}]
`)+daemonOn("b", "  host: root@h.example.com:22\n  args: [$(HOST_NAME), $(HOST_ADDRESS)]\n")+
		daemonOn("c", "  args: [$(HOST_NAME), $(HOST_ADDRESS)]\n  health: {tcp: \"$(HOST_ADDRESS):1\"}\n")+
		daemonOn("d", "  host: gpu-2\n  health: {tcp: \"$(HOST_ADDRESS):1\"}\n  args: [$(HOST_ADDRESS)]\n"))
	if err != nil {
		t.Fatal(err)
	}
	got := map[string][]string{}
	for _, at := range all {
		for _, m := range at.Daemons {
			s := m.Spec
			texts := slices.Clone(s.Args)
			for _, name := range slices.Sorted(maps.Keys(s.Env)) {
				if v := s.Env[name].Value; v != nil {
					texts = append(texts, name+"="+*v)
				} else {
					texts = append(texts, name+"<"+s.Env[name].FromFile)
				}
			}
			if s.Health != nil {
				texts = append(texts, "health "+s.Health.URL+s.Health.TCP)
			}
			if s.Metrics != nil {
				texts = append(texts, "metrics "+s.Metrics.URL)
			}
			if s.Stop.URL != "" {
				texts = append(texts, s.Stop.URL, s.Reload.URL, s.WorkingDir, s.Log.Path, s.Files[0].Path, *s.Files[0].Content)
			}
			got[at.Host+"/"+m.Metadata.Name] = texts
		}
	}
	onGPU := func(name, address, urlAddress, zone, rack string) []string {
		return []string{name, "a" + address + ":" + zone + "b", "--rack=" + rack, "$(HOST_NAME)", "$" + name, "$$(HOST_NAME)", "$(HOME)", "$HOST_NAME", "${HOST_NAME}", "$(HOSTNAME)", "$$(date)", "%h", "$$",
			"$(HOST_NAME)=d", "A=" + name, "B=$(HOST_NAME)", "C=plain", "E<$(HOST_NAME)",
			"health http://" + urlAddress + ":80/" + name, "metrics http://" + urlAddress + ":9121/", "http://localhost/" + name, "http://" + zone + ".example.com/$(HOST_NAME)",
			"/$(HOST_NAME)", "/var/log/$(HOST_NAME)", "/etc/$(HOST_NAME)", "$(HOST_NAME)"}
	}
	want := map[string][]string{
		"gpu-1/a":                 onGPU("gpu-1", "10.0.0.1", "10.0.0.1", "a", "r1"),
		"gpu-2/a":                 onGPU("gpu-2", "fd00::2", "[fd00::2]", "b", "r2"),
		"root@h.example.com:22/b": {"root@h.example.com:22", "h.example.com"},
		"/c":                      {"localhost", "localhost", "health localhost:1"},
		"gpu-2/d":                 {"fd00::2", "health [fd00::2]:1"},
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Error(diff)
	}
}

// TestWhatWasPlacedIsPlacedAgain checks that a spec that is printed as a manifest means on every host what it meant on its own.
func TestWhatWasPlacedIsPlacedAgain(t *testing.T) {
	all, err := placed(t, daemonOn("a", "  host: gpu-1\n  args: [$$(HOST_NAME), $(HOST_NAME), $(HOME)]\n  env: {A: $$$$(HOST_NAME), B: b}\n  healthURL: http://localhost/$$(HOST_x)\n"))
	if err != nil {
		t.Fatal(err)
	}
	first := all[0].Daemons[0].Spec
	shown := Unplaced(first)
	if diff := cmp.Diff([]string{"$$(HOST_NAME)", "gpu-1", "$(HOME)"}, shown.Args); diff != "" || shown.Health.URL != "http://localhost/$$(HOST_x)" || *shown.Env["A"].Value != "$$$$(HOST_NAME)" {
		t.Errorf("%s%+v %v", diff, shown.Health, shown.Env)
	}
	m := Manifest{DaemonSpec: DaemonSpec{Metadata: Metadata{Name: "a"}, Spec: shown}}
	again, err := Place([]Manifest{m}, nil, func(string) bool { return true })
	if err != nil {
		t.Fatal(err)
	}
	first.Host = ""
	if diff := cmp.Diff(first, again[0].Daemons[0].Spec); diff != "" {
		t.Error(diff)
	}
}

// TestPlaceChangesNothingThatItIsGiven checks that copies of one manifest share nothing that was changed.
func TestPlaceChangesNothingThatItIsGiven(t *testing.T) {
	text := fleetOf + daemonOn("a", "  hostSelector: {matchLabels: {}}\n  args: [$(HOST_NAME)]\n  env: {A: $(HOST_NAME)}\n  healthURL: http://$(HOST_NAME)/\n  reload: {url: \"http://$(HOST_NAME)/\"}\n")
	docs, err := ParseAll("f.yaml", []byte(text))
	if err != nil {
		t.Fatal(err)
	}
	again, err := ParseAll("f.yaml", []byte(text))
	if err != nil {
		t.Fatal(err)
	}
	first, err := Place(docs.Daemons, docs.Hosts, isDesk)
	if err != nil {
		t.Fatal(err)
	}
	if !reflect.DeepEqual(docs.Daemons[0].DaemonSpec, again.Daemons[0].DaemonSpec) || !reflect.DeepEqual(docs.Hosts, again.Hosts) {
		t.Error("the documents were changed")
	}
	second, err := Place(docs.Daemons, docs.Hosts, isDesk)
	if err != nil || !reflect.DeepEqual(first, second) {
		t.Errorf("a second time it is different, %v", err)
	}
	if a, b := first[1].Daemons[0].Spec.Args[0], first[2].Daemons[0].Spec.Args[0]; a != "gpu-1" || b != "gpu-2" {
		t.Errorf("the copies have %s and %s", a, b)
	}
}

// TestWhereADaemonRunsIsNoPartOfIt checks that one daemon has one digest, from wherever it is looked at and however its host is reached.
func TestWhereADaemonRunsIsNoPartOfIt(t *testing.T) {
	digests := map[string]bool{}
	for _, text := range []string{
		fleetOf + daemonOn("a", "  host: gpu-1\n"),
		strings.Replace(fleetOf, "10.0.0.1, port: 2222", "10.0.0.99, user: ops, sudo: true, agent: {install: never}, concurrency: 3, driver: process", 1) + daemonOn("a", "  host: gpu-1\n"),
		daemonOn("a", "  host: desk\n"),
		daemonOn("a", "  host: root@10.0.0.1\n"),
		daemonOn("a", ""),
		fleetOf + daemonOn("a", "  hostSelector: {matchLabels: {zone: b}}\n"),
	} {
		docs, err := ParseAll("f.yaml", []byte(text))
		if err != nil {
			t.Fatal(err)
		}
		all, err := Place(docs.Daemons, docs.Hosts, isDesk)
		if err != nil {
			t.Fatal(err)
		}
		o := ResolveOptions{}
		if all[0].Host != "" {
			o.Remote = &RemoteResolve{}
		}
		ds, err := Resolve(all[0].Daemons, o)
		if err != nil {
			t.Fatal(err)
		}
		if ds[0].Spec.Host != "" || ds[0].Spec.HostSelector != nil {
			t.Errorf("what is applied says where: %q, %v", ds[0].Spec.Host, ds[0].Spec.HostSelector)
		}
		digests[ds[0].Digest] = true
	}
	if len(digests) != 1 {
		t.Errorf("one daemon has %d digests", len(digests))
	}
}

func BenchmarkPlace200Hosts(b *testing.B) {
	var text strings.Builder
	for i := range 200 {
		fmt.Fprintf(&text, "apiVersion: reconciler.dev/v1\nkind: Host\nmetadata: {name: h%d, labels: {a: b}}\n---\n", i)
	}
	for i := range 20 {
		text.WriteString(daemonOn(fmt.Sprintf("d%d", i), "  hostSelector: {matchLabels: {a: b}}\n  args: [$(HOST_NAME)]\n"))
	}
	docs, err := ParseAll("f.yaml", []byte(text.String()))
	if err != nil {
		b.Fatal(err)
	}
	b.ReportAllocs()
	for b.Loop() {
		all, err := Place(docs.Daemons, docs.Hosts, nil)
		if err != nil || len(all) != 200 {
			b.Fatal(err)
		}
		for _, p := range all {
			if _, err := Resolve(p.Daemons, ResolveOptions{Remote: &RemoteResolve{}}); err != nil {
				b.Fatal(err)
			}
		}
	}
}
