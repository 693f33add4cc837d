package cgroup

import (
	"errors"
	"path"
	"slices"
	"strings"
	"testing"

	"reconciler.dev/reconciler/pkg/drivers"
	"reconciler.dev/reconciler/pkg/spec"
)

func TestPlaceOf(t *testing.T) {
	for _, c := range []struct {
		name  string
		place *spec.Cgroup
		want  string // empty: it is refused
	}{
		{"web", nil, "/reconciler.slice/web"},
		{"web", &spec.Cgroup{}, "/reconciler.slice/web"},
		{"web", &spec.Cgroup{Slice: "rbee.slice"}, "/rbee.slice/web"},
		{"web", &spec.Cgroup{Slice: "rbee-gpu.slice"}, "/rbee.slice/rbee-gpu.slice/web"},
		{"web", &spec.Cgroup{Slice: "rbee-gpu", Service: "worker", Instance: "0"}, "/rbee.slice/rbee-gpu.slice/worker/0"},
		{"web", &spec.Cgroup{Service: "worker"}, "/reconciler.slice/worker"},
		{"web", &spec.Cgroup{Instance: "0"}, "/reconciler.slice/0"},
		{"memory.max", nil, "/reconciler.slice/_memory.max"},
		{"cgroup.procs", nil, "/reconciler.slice/_cgroup.procs"},
		{"memory", nil, "/reconciler.slice/memory"},
		{"tasks", nil, "/reconciler.slice/_tasks"},
		{"web", &spec.Cgroup{Service: "_memory.max"}, "/reconciler.slice/__memory.max"},
		{"web", &spec.Cgroup{Service: "..", Instance: "x"}, "/reconciler.slice/_../x"},
		{"web", &spec.Cgroup{Service: "a/b"}, "/reconciler.slice/a/b"},
		{"web", &spec.Cgroup{Service: "a/../../b"}, ""},
		{"web", &spec.Cgroup{Service: "a\nb"}, ""},
		{"web", &spec.Cgroup{Service: strings.Repeat("x", 300)}, ""},
		{"web", &spec.Cgroup{Slice: "-a"}, ""},
		{"web", &spec.Cgroup{Slice: "../a"}, ""},
		{"", nil, ""},
	} {
		got, err := placeOf(c.name, c.place)
		if got != c.want || c.want == "" && !errors.Is(err, drivers.ErrPermanent) {
			t.Errorf("%s, %+v: got %q, %v, want %q", c.name, c.place, got, err, c.want)
		}
	}
}

// FuzzPlaceOf: whatever a manifest says, a place is below a slice, is no file of the kernel's, and no two names have the same.
func FuzzPlaceOf(f *testing.F) {
	for _, seed := range [][4]string{{"web", "", "", ""}, {"memory.max", "a-b.slice", "..", "/"}, {"_x", "x.slice", "cgroup.procs", "0"}} {
		f.Add(seed[0], seed[1], seed[2], seed[3])
	}
	f.Fuzz(func(t *testing.T, name, slice, service, instance string) {
		place, err := placeOf(name, &spec.Cgroup{Slice: slice, Service: service, Instance: instance})
		if err != nil {
			return
		}
		if path.Clean(place) != place || !isPlace(place) || !isSlice(strings.Split(place, "/")[1]) {
			t.Errorf("%q is no place", place)
		}
		if base := path.Base(place); slices.ContainsFunc(kernelPrefixes(), func(p string) bool { return strings.HasPrefix(base, p) }) {
			t.Errorf("%q may be a file of the kernel's", place)
		}
		if service == "" && instance == "" && !strings.Contains(name, "/") {
			if other, err := placeOf(name+"x", &spec.Cgroup{Slice: slice}); err == nil && other == place {
				t.Errorf("%q and %[1]qx have the same place", name)
			}
		}
	})
}

func TestIsPlace(t *testing.T) {
	for place, want := range map[string]bool{
		"/reconciler.slice/web":                       true,
		"/user.slice/u.service/x.scope/r.slice/web/0": true,
		"":                              false,
		"/":                             false,
		"/..":                           false,
		"/reconciler.slice":             false,
		"/test/web":                     false,
		"reconciler.slice/web":          false,
		"/reconciler.slice/../web":      false,
		"/reconciler.slice//web":        false,
		"/reconciler.slice/web/":        false,
		"/reconciler.slice/w\x00b":      false,
		"/system.slice/sshd.service/..": false,
	} {
		if got := isPlace(place); got != want {
			t.Errorf("%q: %v, want %v", place, got, want)
		}
	}
}

func TestDownTo(t *testing.T) {
	for _, c := range []struct {
		top, bottom string
		want        []string
	}{
		{"/", "/", []string{"/"}},
		{"/", "/a/b", []string{"/", "/a", "/a/b"}},
		{"/a", "/a/b/c", []string{"/a", "/a/b", "/a/b/c"}},
		{"/a", "/b", nil},
		{"/a/b", "/a", nil},
		{"/a", ".", nil},
	} {
		if got := downTo(c.top, c.bottom); !slices.Equal(got, c.want) {
			t.Errorf("from %s to %s: %q, want %q", c.top, c.bottom, got, c.want)
		}
	}
}
