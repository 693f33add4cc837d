package spec

import (
	"encoding/json"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// TestValidateTakesWhatNoLoaderMade checks that a manifest made in Go is judged like one that was read, as far as it goes without places.
func TestValidateTakesWhatNoLoaderMade(t *testing.T) {
	m := Manifest{File: "made.go", DaemonSpec: DaemonSpec{APIVersion: APIVersion, Kind: Kind, Metadata: Metadata{Name: "web"}, Spec: Spec{
		Binary: "/bin/web", HealthURL: "http://localhost/", Health: &Health{URL: "http://localhost/health", FailureThreshold: -1}, Args: []string{"a\x00"},
	}}}
	Defaults(&m.Spec)
	var got []string
	for _, p := range Validate(m) {
		got = append(got, p.String())
	}
	want := []string{
		"made.go: spec.args[0]: this holds a NUL, which no process can be given",
		"made.go: spec.health.failureThreshold: -1 is out of range: it can be 1 to 1000",
		"made.go: spec.healthURL: this is short for health.url, which is given too: leave one out",
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Error(diff)
	}

	m.Spec = Spec{Binary: "/bin/web", HealthURL: "http://localhost/"}
	Defaults(&m.Spec)
	if ps := Validate(m); ps != nil || m.Spec.HealthURL != "" || m.Spec.Health.URL != "http://localhost/" {
		t.Errorf("%v, %+v", ps, m.Spec.Health)
	}
}

func TestAChangeIsWrittenInWords(t *testing.T) {
	want := Change{Field: "spec.args[0]", Old: "a", Class: Restarted}
	b, err := json.Marshal(want)
	if err != nil {
		t.Fatal(err)
	}
	if string(b) != `{"field":"spec.args[0]","old":"a","class":"restart"}` {
		t.Errorf("%s", b)
	}
	var got Change
	if err := json.Unmarshal(b, &got); err != nil || got != want {
		t.Errorf("%+v, %v", got, err)
	}
}
