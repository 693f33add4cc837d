package cgroup

import (
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"reconciler.dev/reconciler/pkg/drivers/process"
	"reconciler.dev/reconciler/pkg/spec"
)

func someMark() *process.Mark {
	d := want("web", "/bin/sleep", "10\n00")
	d.Labels = map[string]string{"app": "web"}
	return &process.Mark{
		Stamp:    &spec.Stamp{Metadata: d.Metadata, Spec: d.Spec, Digest: d.Digest, Owner: spec.Owner{Set: "s", Holder: "h"}, Tool: "v1", Generation: 3},
		Instance: &spec.Instance{ID: "8000000000000001", StartedAt: time.Unix(1, 0).UTC(), Generation: 3, Restarts: 2, LogStart: 7},
	}
}

func TestLabel(t *testing.T) {
	m := someMark()
	data, err := encodeLabel("/run/a \"b\"\nc", m)
	if err != nil {
		t.Fatal(err)
	}
	l, err := decodeLabel(data)
	if err != nil || l.run != "/run/a \"b\"\nc" || l.name != "web" || l.id != m.Instance.ID {
		t.Fatalf("got %+v, %v", l, err)
	}
	got, err := l.decode()
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(m, got); diff != "" {
		t.Error(diff)
	}
	if !l.of("/run/a \"b\"\nc", "web") || l.of("/run", "web") || l.of("/run/a \"b\"\nc", "api") {
		t.Error("it doesn't know whose it is")
	}
}

func TestLabelOfALargeSpec(t *testing.T) {
	m := someMark()
	large := strings.Repeat("x", maxLabel)
	m.Stamp.Spec.Env = map[string]spec.EnvVar{"X": {Value: &large}}
	data, err := encodeLabel("/run", m)
	if err != nil || len(data) > maxLabel {
		t.Fatalf("%d bytes, %v", len(data), err)
	}
	l, err := decodeLabel(data)
	if err != nil {
		t.Fatal(err)
	}
	got, err := l.decode()
	if err != nil || got.Stamp.Digest != m.Stamp.Digest || got.Stamp.Owner != m.Stamp.Owner || got.Stamp.Generation != 3 || got.Instance.ID != m.Instance.ID || got.Stamp.Spec.Env != nil {
		t.Errorf("got %+v, %v", got, err)
	}
	if m.Stamp.Spec.Env == nil {
		t.Error("the stamp itself was cut")
	}
}

func TestLabelsThatAreNone(t *testing.T) {
	for _, text := range []string{"", "1", "2\n\"/run\"\nweb\nid\n{}", "1\n/run\nweb\nid\n{}", "1\n\"/run\"\n\nid\n{}", "1\n\"/run\"\nweb\n\n{}", "1\n\"/run\"\nweb\nid"} {
		if l, err := decodeLabel([]byte(text)); err == nil {
			t.Errorf("%q is taken for %+v", text, l)
		}
	}
	for _, mark := range []string{"", "{}", `{"stamp":{"metadata":{"name":"api"}},"instance":{"id":"id"}}`, `{"stamp":{"metadata":{"name":"web"}},"instance":{"id":"other"}}`} {
		if m, err := (&label{"/run", "web", "id", []byte(mark)}).decode(); err == nil {
			t.Errorf("%q is taken for %+v", mark, m)
		}
	}
}

func FuzzLabel(f *testing.F) {
	good, err := encodeLabel("/run", someMark())
	if err != nil {
		f.Fatal(err)
	}
	f.Add(good)
	f.Add([]byte("1\n\"x\"\na\nb\n{}"))
	f.Fuzz(func(t *testing.T, data []byte) {
		l, err := decodeLabel(data)
		if err != nil {
			return
		}
		m, err := l.decode()
		if err != nil {
			return
		}
		if m.Stamp.Name != l.name || m.Instance.ID != l.id {
			t.Error("it contradicts itself")
		}
		again, err := encodeLabel(l.run, m)
		if err != nil {
			t.Fatal(err)
		}
		if l2, err := decodeLabel(again); err != nil || l2.name != l.name || l2.run != l.run || len(again) > maxLabel {
			t.Errorf("what was read can't be written: %v", err)
		}
	})
}
