package spec

import (
	"slices"
	"testing"
)

func TestSlicePath(t *testing.T) {
	for slice, want := range map[string][]string{
		"rbee.slice":        {"rbee.slice"},
		"rbee":              {"rbee.slice"},
		"rbee-gpu.slice":    {"rbee.slice", "rbee-gpu.slice"},
		"a-b-c.slice":       {"a.slice", "a-b.slice", "a-b-c.slice"},
		"-a.slice":          nil,
		"a-.slice":          nil,
		"a--b.slice":        nil,
		".slice":            nil,
		"a@b.slice":         nil,
		"v1.2_x:y-z9.slice": {"v1.2_x:y.slice", "v1.2_x:y-z9.slice"},
	} {
		if got := SlicePath(slice); !slices.Equal(got, want) {
			t.Errorf("%s: got %q, want %q", slice, got, want)
		}
	}
}

func TestUnitName(t *testing.T) {
	for _, c := range []struct {
		place *Cgroup
		want  string
	}{
		{nil, "web.service"},
		{&Cgroup{Slice: "rbee.slice"}, "web.service"},
		{&Cgroup{Service: "worker", Instance: "0"}, "worker-0.service"},
		{&Cgroup{Service: "worker"}, "worker.service"},
		{&Cgroup{Instance: "7"}, "7.service"},
	} {
		if got := UnitName("web", c.place); got != c.want {
			t.Errorf("%+v: got %s, want %s", c.place, got, c.want)
		}
	}
}
