package spec

import "strings"

// SlicePath returns the cgroups from the root down to a slice, as systemd nests them: rbee-gpu.slice is rbee.slice/rbee-gpu.slice. The suffix may be left
// out. It is nil where nothing can be called so. See systemd.slice(5).
func SlicePath(slice string) []string {
	parts := strings.Split(strings.TrimSuffix(slice, ".slice"), "-")
	path := make([]string, len(parts))
	for i, p := range parts {
		if p == "" || strings.ContainsAny(p, "@/") {
			return nil
		}
		path[i] = strings.Join(parts[:i+1], "-") + ".slice"
	}
	return path
}

// UnitName is what a daemon is called among the units of systemd: SERVICE-INSTANCE.service where its manifest gives both, SERVICE.service where it gives one of them,
// else NAME.service.
func UnitName(name string, c *Cgroup) string {
	if c == nil || c.Service == "" && c.Instance == "" {
		return name + ".service"
	}
	return strings.Trim(c.Service+"-"+c.Instance, "-") + ".service"
}
