package spec

import (
	"encoding/json"
	"fmt"
	"maps"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

// parseOne reads the manifest that head and the lines after it make.
func parseOne(t *testing.T, lines string) Manifest {
	t.Helper()
	ms, err := Parse("f.yaml", []byte(head+lines))
	if err != nil {
		t.Fatal(err)
	}
	return ms[0]
}

// effective reads and resolves a manifest whose secrets are in the environment.
func effective(t *testing.T, lines string) *Daemon {
	t.Helper()
	env := map[string]string{"OLD": "hunter2", "NEW": "hunter3", "SAME": "hunter2"}
	ds, err := Resolve([]Manifest{parseOne(t, lines)}, ResolveOptions{LookupEnv: func(name string) (string, bool) {
		v, ok := env[name]
		return v, ok
	}})
	if err != nil {
		t.Fatal(err)
	}
	return ds[0]
}

// stamped is what is left of a daemon once it was applied: it went through JSON.
func stamped(t *testing.T, d *Daemon) Stamp {
	t.Helper()
	b, err := json.Marshal(Stamp{Metadata: d.Metadata, Spec: d.Spec, Digest: d.Digest, Generation: 3})
	if err != nil {
		t.Fatal(err)
	}
	if strings.Contains(string(b), "hunter") {
		t.Fatalf("a secret is in the stamp: %s", b)
	}
	var s Stamp
	if err := json.Unmarshal(b, &s); err != nil {
		t.Fatal(err)
	}
	return s
}

// TestDigestsStay pins digests: a change of one here is a new digestVersion, or a mistake.
func TestDigestsStay(t *testing.T) {
	full, err := Load([]string{"testdata/good/full.yaml"}, LoadOptions{})
	if err != nil {
		t.Fatal(err)
	}
	short := parseOne(t, "")
	got := fmt.Sprintf("full.yaml %s\nthe least %s\n", Digest(full[0].Metadata, full[0].Spec), Digest(short.Metadata, short.Spec))
	golden(t, "testdata/digests.golden", got)
}

// TestDigestAndDiffAgree checks pairs of specs: what means the same has one digest and no difference, and what doesn't, has neither.
func TestDigestAndDiffAgree(t *testing.T) {
	tests := []struct {
		name     string
		old, new string
		want     []Change
	}{
		{"nothing changed", "", "", nil},
		{"defaults written out", "", "  workingDir: /\n  umask: \"0022\"\n  stop: {signal: SIGTERM, gracePeriod: 10s}\n  driver: auto\n  host: localhost\n", nil},
		{"empty and null", "", "  args: []\n  env: {}\n  cgroup: {}\n  user:\n", nil},
		{"another spelling", "  cgroup: {memoryLimit: 4G, cpuLimit: \"2\"}\n", "  cgroup: {memoryLimit: 4096Mi, cpuLimit: 200%}\n", nil},
		{"the short form", "  healthURL: http://localhost/\n", "  health: {url: \"http://localhost/\"}\n", nil},
		{
			"another order", "  dependsOn: [{name: a}, {name: b}]\n  files: [{path: /a, content: a}, {path: /b, content: b}]\n",
			"  dependsOn: [{name: b}, {name: a}]\n  files: [{path: /b, content: b}, {path: /a, content: a}]\n", nil,
		},
		{
			"args by their place", "  args: [a, b]\n", "  args: [a, \"\", c]\n",
			[]Change{{"spec.args[1]", "b", "", Restarted}, {"spec.args[2]", "", "c", Restarted}},
		},
		{"a zero is no default", "", "  stop: {gracePeriod: 0}\n  log: {maxFiles: 0}\n", []Change{
			{"spec.log.maxFiles", "3", "0", Live}, {"spec.stop.gracePeriod", "10s", "0s", Live},
		}},
		{"a limit", "  cgroup: {memoryLimit: 4G, pidsLimit: 5}\n", "  cgroup: {memoryLimit: 4000000000}\n", []Change{
			{"spec.cgroup.memoryLimit", "4G (4294967296)", "3906250K (4000000000)", Live}, {"spec.cgroup.pidsLimit", "5", "", Live},
		}},
		{"where it sits", "  cgroup: {slice: a.slice}\n", "  cgroup: {slice: b.slice, required: true}\n", []Change{
			{"spec.cgroup.required", "false", "true", Live}, {"spec.cgroup.slice", "a.slice", "b.slice", Recreated},
		}},
		{"the driver", "", "  driver: process\n", []Change{{"spec.driver", "auto", "process", Recreated}}},
		{"a health check", "", "  health: {tcp: \"localhost:1\", interval: 1s}\n", []Change{
			{"spec.health.interval", "10s", "1s", Live}, {"spec.health.tcp", "", "localhost:1", Live},
		}},
		{"a limit of the process", "  rlimits: {nofile: 1024}\n", "  rlimits: {nofile: \"1024:2048\"}\n", []Change{
			{"spec.rlimits[nofile]", "1024", "1024:2048", Restarted},
		}},
		{"a plain variable", "  env: {A: a}\n", "  env: {A: b, B: \"\"}\n", []Change{
			{"spec.env[A]", "a", "b", Restarted}, {"spec.env[B]", "", "", Restarted},
		}},
		{"a secret that changed", "  env: {A: {fromEnv: OLD}}\n", "  env: {A: {fromEnv: NEW}}\n", []Change{
			{"spec.env[A]", "(secret)", "(secret), changed", Restarted}, {"spec.env[A].fromEnv", "OLD", "NEW", Live},
		}},
		{"the same secret from elsewhere", "  env: {A: {fromEnv: OLD}}\n", "  env: {A: {fromEnv: SAME}}\n", []Change{
			{"spec.env[A].fromEnv", "OLD", "SAME", Live},
		}},
		{"a value that becomes a secret", "  env: {A: a}\n", "  env: {A: {fromEnv: OLD}}\n", []Change{
			{"spec.env[A]", "a", "(secret)", Restarted}, {"spec.env[A].fromEnv", "", "OLD", Live},
		}},
		{"a file, with a way to reload", "  files: [{path: /a, content: a}]\n", "  reload: {signal: HUP}\n  files: [{path: /a, content: bb}]\n", []Change{
			{"spec.files[/a].digest", "sha256:ca978112ca1b", "sha256:3b64db95cb55 (2 bytes)", Reloaded}, {"spec.reload.signal", "", "SIGHUP", Live},
		}},
		{"a file, without one", "  files: [{path: /a, content: a}]\n", "  files: [{path: /a, content: a, mode: \"0600\"}]\n", []Change{
			{"spec.files[/a].mode", "0644", "0600", Restarted},
		}},
		{"another file", "  files: [{path: /a, content: a}]\n", "  files: [{path: /b, content: a}]\n", []Change{
			{"spec.files[/a]", "/a", "", Restarted}, {"spec.files[/a].digest", "sha256:ca978112ca1b", "", Restarted},
			{"spec.files[/b]", "", "/b", Restarted}, {"spec.files[/b].digest", "", "sha256:ca978112ca1b (1 byte)", Restarted},
		}},
		{"a dependency", "  dependsOn: [{name: a}]\n", "  dependsOn: [{name: a, condition: Started}, {name: b}]\n", []Change{
			{"spec.dependsOn[a].condition", "Ready", "Started", Live}, {"spec.dependsOn[b]", "", "b", Live},
		}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			old, want := effective(t, tt.old), effective(t, tt.new)
			got := Diff(stamped(t, old), want)
			if diff := cmp.Diff(tt.want, got); diff != "" {
				t.Errorf("-want +got:\n%s", diff)
			}
			if same := old.Digest == want.Digest; same != (tt.want == nil) {
				t.Errorf("the digests are equal: %t", same)
			}
		})
	}
}

func TestMetadataIsLive(t *testing.T) {
	old, want := effective(t, ""), effective(t, "")
	old.Labels = map[string]string{"app.kubernetes.io/name": "a"}
	want.Annotations = map[string]string{"note": "b"}
	got := Diff(stamped(t, old), want)
	if diff := cmp.Diff([]Change{{"metadata.annotations[note]", "", "b", Live}, {"metadata.labels[app.kubernetes.io/name]", "a", "", Live}}, got); diff != "" {
		t.Error(diff)
	}
}

// TestAnOlderStampMeansWhatItMeant checks that a stamp that lacks fields of this version, as one that an older version wrote does, is no difference.
func TestAnOlderStampMeansWhatItMeant(t *testing.T) {
	want := effective(t, "  healthURL: http://localhost/\n  files: [{path: /a, content: a}]\n  dependsOn: [{name: a}]\n")
	old := `{"metadata": {"name": "web"}, "spec": {"binary": "/bin/web", "health": {"url": "http://localhost/"}, "dependsOn": [{"name": "a"}],
		"files": [{"path": "/a", "digest": "` + want.Spec.Files[0].Digest + `"}]}, "generation": 1}`
	var s Stamp
	if err := json.Unmarshal([]byte(old), &s); err != nil {
		t.Fatal(err)
	}
	if got := Diff(s, want); got != nil {
		t.Errorf("%v", got)
	}
	if got := Digest(s.Metadata, s.Spec); got != want.Digest {
		t.Error("the digest changed")
	}
}

// TestEveryFieldCounts sets each field of a spec and checks that the digest tells, and that Diff names it with the class that its tag or its parent's says.
func TestEveryFieldCounts(t *testing.T) {
	full, err := Load([]string{"testdata/good/full.yaml"}, LoadOptions{})
	if err != nil {
		t.Fatal(err)
	}
	full[0].Spec.HostSelector = &HostSelector{MatchLabels: map[string]string{"a": "b"}} // beside host no manifest can have it
	bare := Stamp{Metadata: Metadata{Name: "cache.main"}}
	Defaults(&bare.Spec)
	named := map[string]bool{}
	for _, c := range Diff(bare, &Daemon{Metadata: full[0].Metadata, Spec: full[0].Spec}) {
		named[strings.Join(steps(c.Field)[:2], ".")] = true
	}
	want := map[string]bool{"metadata.labels": true, "metadata.annotations": true}
	for _, f := range specShape().fields {
		if f.name != "healthURL" {
			want["spec."+f.name] = true
		}
	}
	if diff := cmp.Diff(slices.Sorted(maps.Keys(want)), slices.Sorted(maps.Keys(named))); diff != "" {
		t.Errorf("fields that full.yaml sets, -all +found:\n%s", diff)
	}
}

// TestEveryFieldHasAClass checks that no field was added without saying what its change costs.
func TestEveryFieldHasAClass(t *testing.T) {
	for _, f := range specShape().fields {
		if !f.classed && f.name != "healthURL" {
			t.Errorf("spec.%s has no class tag", f.name)
		}
	}
}

func TestNaturally(t *testing.T) {
	paths := []string{"a[10]", "a[2]", "a[2].b", "b", "a", "a[1]", "a[02]"}
	slices.SortFunc(paths, naturally)
	if diff := cmp.Diff([]string{"a", "a[1]", "a[2]", "a[2].b", "a[02]", "a[10]", "b"}, paths); diff != "" {
		t.Error(diff)
	}
}

func TestSecretsAreNeverWritten(t *testing.T) {
	d := effective(t, "  env: {TOKEN: {fromEnv: OLD}}\n")
	if got := d.Secrets["TOKEN"].Reveal(); got != "hunter2" {
		t.Fatalf("the secret is %q", got)
	}
	asJSON, err := json.Marshal(d)
	if err != nil {
		t.Fatal(err)
	}
	for _, text := range []string{string(asJSON), fmt.Sprint(d), fmt.Sprintf("%+v %#v", d, d.Secrets), fmt.Sprintf("%q", d.Secrets)} {
		if strings.Contains(text, "hunter2") {
			t.Errorf("the secret is in %s", text)
		}
	}
	if a, b := digestSecret("a", "X", "v"), digestSecret("b", "X", "v"); a == b {
		t.Error("two daemons with the same secret have the same digest of it")
	}
	if a, b := digestSecret("a", "Xv", ""), digestSecret("a", "X", "v"); a == b {
		t.Error("the parts of a secret's digest run together")
	}
}

// TestDefaultsFillInOnce checks that filling in twice is filling in once, and that a zero that was read stays.
func TestDefaultsFillInOnce(t *testing.T) {
	m := parseOne(t, "  stop: {gracePeriod: 0s}\n  health: {tcp: \"localhost:1\", startPeriod: 0s}\n")
	if m.Spec.Stop.GracePeriod != 0 || m.Spec.Health.StartPeriod != 0 || m.Spec.Health.Interval != Duration(10*time.Second) {
		t.Errorf("%+v %+v", m.Spec.Stop, m.Spec.Health)
	}
	var once Spec
	Defaults(&once)
	twice := once
	Defaults(&twice)
	if !reflect.DeepEqual(once, twice) {
		t.Error("filling in defaults twice changes them")
	}
}

// olderObject and newerObject are a type before and after a version that added a field with a default to it, in the middle.
type olderObject struct {
	Name string `json:"name" class:"live"`
	Size int    `json:"size,omitempty" class:"live"`
}

type newerObject struct {
	Name  string `json:"name" class:"live"`
	Added int    `json:"added,omitempty" class:"restart"`
	Size  int    `json:"size,omitempty" class:"live"`
}

func (n *newerObject) setDefaults() { fill(&n.Added, 7) }

// TestANewFieldChangesNoDigest checks that what a later version adds doesn't count until somebody sets it.
func TestANewFieldChangesNoDigest(t *testing.T) {
	leaves := func(v any) string {
		var b []byte
		eachLeaf(shapeOf(reflect.TypeOf(v)), reflect.ValueOf(v), nil, Live, func(l leaf) { b = appendLeaf(b, l) })
		return string(b)
	}
	older := leaves(olderObject{Name: "a", Size: 3})
	if newer := leaves(newerObject{Name: "a", Size: 3, Added: 7}); newer != older {
		t.Errorf("%q became %q", older, newer)
	}
	if changed := leaves(newerObject{Name: "a", Size: 3, Added: 8}); changed == older {
		t.Error("a change of the new field is not seen")
	}
}
