package cgroup

import (
	"fmt"
	"path"
	"slices"
	"strings"

	"reconciler.dev/reconciler/pkg/drivers"
	"reconciler.dev/reconciler/pkg/spec"
)

// defaultSlice is where daemons go whose manifest names none.
const defaultSlice = "reconciler.slice"

// placeOf returns where the leaf of a daemon goes below what is ours: SLICE/SERVICE/INSTANCE with the slice nested as systemd nests it, and the daemon's name where the manifest
// gives neither service nor instance. The error wraps ErrPermanent.
func placeOf(name string, c *spec.Cgroup) (string, error) {
	slice, leaf := defaultSlice, []string{name}
	if c != nil {
		if c.Slice != "" {
			slice = c.Slice
		}
		if c.Service != "" || c.Instance != "" {
			leaf = slices.DeleteFunc([]string{c.Service, c.Instance}, func(s string) bool { return s == "" })
		}
	}
	parts := spec.SlicePath(slice)
	if parts == nil {
		return "", fmt.Errorf("spec.cgroup.slice: %q can't be nested as a slice is: %w", slice, drivers.ErrPermanent)
	}
	for _, l := range leaf {
		parts = append(parts, escape(l))
	}
	place := "/" + strings.Join(parts, "/")
	if !isPlace(place) {
		return "", fmt.Errorf("spec.cgroup: %q can't be the path of a cgroup: %w", place, drivers.ErrPermanent)
	}
	return place, nil
}

// kernelPrefixes are how the files that the kernel puts into a cgroup begin: see cgroup-v2.rst.
func kernelPrefixes() []string {
	return []string{"cgroup.", "cpu.", "cpuset.", "io.", "memory.", "pids.", "rdma.", "hugetlb.", "misc.", "dmem.", "irq.", "net_cls.", "net_prio.", "perf_event.", "freezer.", "devices.", "blkio.", "cpuacct.", "debug."}
}

// escape makes a name one that no file of the kernel has, as systemd does it: with a '_' before it where that is needed.
func escape(name string) string {
	clash := strings.HasPrefix(name, "_") || strings.HasPrefix(name, ".") || slices.ContainsFunc(kernelPrefixes(), func(p string) bool { return strings.HasPrefix(name, p) }) ||
		slices.Contains([]string{"notify_on_release", "release_agent", "tasks"}, name)
	if clash {
		return "_" + name
	}
	return name
}

// maxName is NAME_MAX.
const maxName = 255

// isPlace tells whether a path leads from the root of the hierarchy downwards, to a cgroup in a slice.
func isPlace(place string) bool {
	rest, ok := strings.CutPrefix(place, "/")
	parts := strings.Split(rest, "/")
	for _, p := range parts {
		if p == "" || p == "." || p == ".." || len(p) > maxName || strings.ContainsAny(p, "\x00\n") {
			return false
		}
	}
	return ok && slices.ContainsFunc(parts[:len(parts)-1], isSlice)
}

// isSlice tells whether a cgroup is called as a slice is.
func isSlice(name string) bool {
	return strings.HasSuffix(name, ".slice") && !strings.HasPrefix(name, ".")
}

// downTo returns the groups from one down to another below it, both included; none where it isn't below.
func downTo(top, bottom string) (groups []string) {
	for ; bottom != top; bottom = path.Dir(bottom) {
		if bottom == "/" || bottom == "." {
			return nil
		}
		groups = append(groups, bottom)
	}
	groups = append(groups, top)
	slices.Reverse(groups)
	return groups
}
