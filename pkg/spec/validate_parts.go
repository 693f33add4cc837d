package spec

import (
	"fmt"
	"slices"
	"strings"
)

func (v *daemonValidator) cgroup() {
	c := v.m.Spec.Cgroup
	if c == nil {
		return
	}
	for _, part := range []struct{ field, name string }{{"slice", c.Slice}, {"service", c.Service}, {"instance", c.Instance}} {
		if part.name != "" && !isCgroupName(part.name) {
			v.bad("spec.cgroup."+part.field, "%q can't be a part of a cgroup's path: it is at most 200 letters, digits and any of -_.:@, and does not begin with '.'", part.name)
		}
	}
	if c.Slice != "" && isCgroupName(c.Slice) && SlicePath(c.Slice) == nil {
		v.bad("spec.cgroup.slice", "%q can't be a slice: every '-' nests it in the one before, so none begins or ends it, and no two stand together", c.Slice)
	}
	for _, limit := range []struct {
		field string
		bytes Bytes
	}{{"memoryLimit", c.MemoryLimit}, {"memoryHigh", c.MemoryHigh}} {
		field := "spec.cgroup." + limit.field
		if _, _, written := v.origin.locate(field); written || limit.bytes != 0 {
			v.atLeast(field, int64(limit.bytes), 4<<10, "4K")
		}
	}
	if c.MemoryLimit > 0 && c.MemoryHigh > c.MemoryLimit && c.MemoryHigh != Unlimited {
		v.bad("spec.cgroup.memoryHigh", "%v is more than memoryLimit, %v, and has no effect then", c.MemoryHigh, c.MemoryLimit)
	}
}

func (v *daemonValidator) sandbox() {
	s := v.m.Spec.Sandbox
	if s == nil {
		return
	}
	for i, p := range s.ReadWritePaths {
		v.path(fmt.Sprintf("spec.sandbox.readWritePaths[%d]", i), p)
	}
	for i, c := range s.Capabilities {
		field := fmt.Sprintf("spec.sandbox.capabilities[%d]", i)
		switch {
		case c == NoCapabilities && len(s.Capabilities) > 1:
			v.bad(field, "%s stands alone", c)
		case c != NoCapabilities && !slices.Contains(CapabilityNames(), c):
			v.bad(field, "%q is no capability%s", c, meant(c, CapabilityNames()))
		}
	}
}

func (v *daemonValidator) files() {
	seen := map[string]int{}
	for i, f := range v.m.Spec.Files {
		field := fmt.Sprintf("spec.files[%d]", i)
		if f.Path == "" {
			v.bad(field+".path", "this is required")
		}
		if strings.IndexByte(f.Path+f.From, 0) >= 0 {
			v.bad(field+".path", "this holds a NUL, which no file can be called")
		}
		if f.Path == "/" {
			v.bad(field+".path", "this is a folder, and no file")
		}
		v.path(field+".path", f.Path)
		if first, twice := seen[f.Path]; twice && f.Path != "" {
			v.bad(field+".path", "%s is written by files[%d] too", f.Path, first)
		}
		seen[f.Path] = i
		switch {
		case (f.Content != nil) && f.From != "":
			v.bad(field, "give content or from, not both")
		case f.Content == nil && f.From == "" && f.Digest != "":
			v.bad(field, "a digest can't be written to a file: give content or from")
		case f.Content == nil && f.From == "":
			v.bad(field, "give content or from")
		}
		if f.Content != nil && len(*f.Content) > maxContent {
			v.bad(field+".content", "this is larger than %s, the most that a file may be", people(maxContent))
		}
	}
}

func (v *daemonValidator) dependencies() {
	seen := map[string]bool{}
	for i, d := range v.m.Spec.DependsOn {
		field := fmt.Sprintf("spec.dependsOn[%d].name", i)
		if d.Name != "" {
			v.name(field, d.Name)
		}
		if seen[d.Name] {
			v.bad(field, "%s is named twice", d.Name)
		}
		seen[d.Name] = true
	}
}
