package spec

import (
	"bytes"
	"encoding/json"
	"fmt"
	"os"
	"reflect"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"sigs.k8s.io/yaml"
)

func TestManifestDocIsUpToDate(t *testing.T) {
	got, err := ManifestDoc()
	if err != nil {
		t.Fatal(err)
	}
	golden(t, "../../docs/manifest.md", got)
}

// TestTheManualsExamplesAreManifests reads the YAML in the manual, and places it.
func TestTheManualsExamplesAreManifests(t *testing.T) {
	for _, part := range []string{manifestIntro, hostIntro} {
		_, rest, _ := strings.Cut(part, "```yaml\n")
		example, _, _ := strings.Cut(rest, "```")
		docs, err := ParseAll("manual.yaml", []byte(example))
		if err != nil {
			t.Error(err)
		}
		if _, err := Place(docs.Daemons, docs.Hosts, nil); err != nil {
			t.Error(err)
		}
	}
}

// eachField visits every field of a manifest.
func eachField(s *shape, path string, do func(path string, owner *shape, f *field)) {
	s = s.innermost()
	for i := range s.fields {
		f := &s.fields[i]
		at := string(appendField([]byte(path), f.name))
		do(at, s, f)
		eachField(f.shape, at, do)
	}
}

func eachFieldOfAll(do func(path string, owner *shape, f *field)) {
	eachField(manifestShape(), "", do)
	eachField(hostShape(), "", do)
}

// TestEveryFieldIsDocumented checks that each field has a sentence that begins with its name, and tells its default where it has one, the same that Defaults fills in.
func TestEveryFieldIsDocumented(t *testing.T) {
	c, err := readComments()
	if err != nil {
		t.Fatal(err)
	}
	eachFieldOfAll(func(path string, owner *shape, f *field) {
		text, said := cutDefault(c.of(owner, f))
		if !strings.HasPrefix(text, f.name+" ") || !strings.HasSuffix(text, ".") {
			t.Errorf("%s: %q is no sentence about %s", path, text, f.name)
		}
		want := f.jsonDefault(owner)
		if want != nil && strings.Trim(said, `"`) != fmt.Sprint(want) {
			t.Errorf("%s: the comment says %q, Defaults says %v", path, said, want)
		}
	})
}

func TestExplain(t *testing.T) {
	var got strings.Builder
	for _, path := range []string{"", "metadata.name", "spec.health", "spec.env[TOKEN].fromFile", "spec.files[/etc/x].mode", "spec.cgroup.cpuWeight", "DaemonSpec.spec.driver", "spec.hostSelector", "Host", "host.spec.agent.install"} {
		text, err := Explain(path)
		if err != nil {
			t.Fatal(err)
		}
		fmt.Fprintf(&got, "$ explain %s\n%s\n", path, text)
	}
	for _, path := range []string{"helth", "spec.helth", "spec.nice.x", "spec.args[0].x", "spec.health.colour", "Host.spec.adress", "Host.spec.binary"} {
		_, err := Explain(path)
		fmt.Fprintf(&got, "$ explain %s\n%v\n\n", path, err)
	}
	golden(t, "testdata/explain.golden", got.String())
}

// TestEveryFieldOfAChangeCanBeExplained feeds what Diff names to Explain.
func TestEveryFieldOfAChangeCanBeExplained(t *testing.T) {
	full, err := Load([]string{"testdata/good/full.yaml"}, LoadOptions{})
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range Diff(Stamp{}, &Daemon{Metadata: full[0].Metadata, Spec: full[0].Spec}) {
		if _, err := Explain(c.Field); err != nil {
			t.Error(err)
		}
	}
}

// TestSchemaKnowsGoodFromBad checks the schema with a validator that knows as much of JSON Schema as the schema uses: it accepts what Parse accepts, and
// refuses each mistake that a schema can see.
func TestSchemaKnowsGoodFromBad(t *testing.T) {
	b, err := Schema()
	if err != nil {
		t.Fatal(err)
	}
	golden(t, "testdata/schema.golden.json", string(b))
	var schema map[string]any
	if err := json.Unmarshal(b, &schema); err != nil {
		t.Fatal(err)
	}
	for _, file := range manifests(t, "good") {
		text, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		for _, doc := range split(text) {
			for _, one := range documents(t, doc.data) {
				for _, problem := range validateJSON(schema, one, "") {
					t.Errorf("%s: %s", file, problem)
				}
			}
		}
	}
	for lines, want := range map[string]string{
		"  argz: []\n":               "/spec/argz: unknown",
		"  args: [1]\n":              "/spec/args/0: want string",
		"  driver: docker\n":         "/spec/driver: none of the words",
		"  nice: 20\n":               "/spec/nice: above 19",
		"  health: {interval: 5s}\n": "/spec/health: 0 of the alternatives",
		"  health: {url: \"http://x\", tcp: \"x:1\"}\n":      "/spec/health: 2 of the alternatives",
		"  stop: {gracePeriod: 5}\n":                         "/spec/stop/gracePeriod: none of the alternatives",
		"  rlimits: {locks: 1}\n":                            "/spec/rlimits/locks: none of the words",
		"  env: {A: {value: a, fromEnv: B}}\n":               "/spec/env/A: none of the alternatives",
		"  files: [{path: /a}]\n":                            "/spec/files/0: 0 of the alternatives",
		"  dependsOn: [{condition: Ready}]\n":                "/spec/dependsOn/0: name is missing",
		"  log: {path: relative}\n":                          "/spec/log/path: doesn't match",
		"  umask: 18\n":                                      "/spec/umask: want string",
		"  cgroup: {memoryLimit: 4 GB, required: \"yes\"}\n": "/spec/cgroup/memoryLimit: none of the alternatives",
		"  host: a\n  hostSelector: {matchLabels: {a: b}}\n": "/spec: has what it must not",
		"  host: a,b\n":                                      "/spec/host: doesn't match",
		"  hostSelector: {}\n":                               "/spec/hostSelector: matchLabels is missing",
	} {
		checkRefused(t, schema, head+lines, want)
	}
	for lines, want := range map[string]string{
		"  adress: a\n":                   "/spec/adress: unknown",
		"  address: root@a\n":             "/spec/address: doesn't match",
		"  port: 70000\n":                 "/spec/port: above 65535",
		"  driver: docker\n":              "/spec/driver: none of the words",
		"  hostKey: \"SHA256:x\"\n":       "/spec/hostKey: doesn't match",
		"  agent: {install: sometimes}\n": "/spec/agent/install: none of the words",
		"  agent: {path: bin}\n":          "/spec/agent/path: doesn't match",
		"  binary: x\n":                   "/spec/binary: unknown",
	} {
		checkRefused(t, schema, hostHead+lines, want)
	}
}

// checkRefused checks that the schema refuses a document for a reason, and that Parse does too.
func checkRefused(t *testing.T, schema map[string]any, text, want string) {
	t.Helper()
	got := validateJSON(schema, documents(t, []byte(text))[0], "")
	if !slices.Contains(got, want) {
		t.Errorf("%s: want %q among %q", text, want, got)
	}
	if _, err := Parse("f.yaml", []byte(text)); err == nil {
		t.Errorf("%s: Parse accepts it", text)
	}
}

// documents reads the manifests of one YAML document as plain JSON values.
func documents(t *testing.T, text []byte) []any {
	t.Helper()
	var v map[string]any
	if json.Unmarshal(bytes.TrimPrefix(text, []byte("---")), &v) != nil {
		if err := yaml.Unmarshal(text, &v); err != nil {
			t.Fatal(err)
		}
	}
	if v == nil {
		return nil
	}
	if items, ok := v["items"].([]any); ok {
		return items
	}
	return []any{v}
}

// validateJSON returns what schema finds wrong with v, PLACE: REASON.
func validateJSON(schema map[string]any, v any, at string) []string {
	var out []string
	say := func(format string, args ...any) { out = append(out, at+": "+fmt.Sprintf(format, args...)) }
	matching := func(key string) int {
		n := 0
		for _, s := range list(schema[key]) {
			if len(validateJSON(s.(map[string]any), v, at)) == 0 {
				n++
			}
		}
		return n
	}
	if v == nil {
		return nil // discouraged, and left out by whoever writes JSON
	}
	if want, ok := schema["type"].(string); ok && !isType(v, want) {
		say("want %s", want)
		return out
	}
	if when, ok := schema["if"].(map[string]any); ok {
		branch := "then"
		if len(validateJSON(when, v, at)) > 0 {
			branch = "else"
		}
		return append(out, validateJSON(schema[branch].(map[string]any), v, at)...)
	}
	if not, ok := schema["not"].(map[string]any); ok && len(validateJSON(not, v, at)) == 0 {
		say("has what it must not")
	}
	if words := list(schema["enum"]); words != nil && !slices.Contains(words, v) {
		say("none of the words")
	}
	if want, ok := schema["const"]; ok && v != want {
		say("want %v", want)
	}
	if p, ok := schema["pattern"].(string); ok && !regexp.MustCompile(p).MatchString(v.(string)) {
		say("doesn't match")
	}
	if least, ok := schema["minimum"].(float64); ok && v.(float64) < least {
		say("below %v", least)
	}
	if most, ok := schema["maximum"].(float64); ok && v.(float64) > most {
		say("above %v", most)
	}
	if schema["anyOf"] != nil && matching("anyOf") == 0 {
		say("none of the alternatives")
	}
	if n := matching("oneOf"); schema["oneOf"] != nil && n != 1 {
		say("%d of the alternatives", n)
	}
	for i, item := range list(v) {
		out = append(out, validateJSON(schema["items"].(map[string]any), item, fmt.Sprintf("%s/%d", at, i))...)
	}
	if object, ok := v.(map[string]any); ok {
		out = append(out, validateObject(schema, object, at)...)
	}
	return out
}

func validateObject(schema, object map[string]any, at string) []string {
	var out []string
	for _, name := range list(schema["required"]) {
		if object[name.(string)] == nil {
			out = append(out, at+": "+name.(string)+" is missing")
		}
	}
	properties, _ := schema["properties"].(map[string]any)
	for name, v := range object {
		here := at + "/" + name
		if names, ok := schema["propertyNames"].(map[string]any); ok {
			out = append(out, validateJSON(names, name, here)...)
		}
		if p, ok := properties[name].(map[string]any); ok {
			out = append(out, validateJSON(p, v, here)...)
		} else if more, ok := schema["additionalProperties"].(map[string]any); ok {
			out = append(out, validateJSON(more, v, here)...)
		} else if schema["additionalProperties"] == false {
			out = append(out, here+": unknown")
		}
	}
	return out
}

func isType(v any, want string) bool {
	switch x := v.(type) {
	case string:
		return want == "string"
	case bool:
		return want == "boolean"
	case float64:
		return want == "number" || want == "integer" && x == float64(int64(x))
	case []any:
		return want == "array"
	}
	return want == "object"
}

func list(v any) []any {
	l, _ := v.([]any)
	return l
}

// TestSchemaHasEveryField checks that the schema and the types have the same fields, with their descriptions.
func TestSchemaHasEveryField(t *testing.T) {
	c, err := readComments()
	if err != nil {
		t.Fatal(err)
	}
	for _, s := range []*shape{manifestShape(), hostShape()} {
		root := schemaMaker{c}.node(s)
		eachField(s, "", func(path string, owner *shape, f *field) {
			n := inSchema(root, path)
			if n == nil {
				t.Fatalf("%s is not in the schema", path)
			}
			if diff := cmp.Diff(c.of(owner, f), n.Description); diff != "" {
				t.Errorf("%s: %s", path, diff)
			}
		})
	}
}

// inSchema finds a field in a schema, nil where it isn't there.
func inSchema(n *schemaNode, path string) *schemaNode {
	for _, name := range plainSteps(path) {
		for n.Items != nil || n.AnyOf != nil && n.Properties == nil || reflect.TypeOf(n.Additional) == reflect.TypeFor[*schemaNode]() {
			switch more, ok := n.Additional.(*schemaNode); {
			case ok:
				n = more
			case n.Items != nil:
				n = n.Items
			default:
				n = n.AnyOf[1]
			}
		}
		if n = n.Properties[name]; n == nil {
			return nil
		}
	}
	return n
}
