package main

import (
	"strconv"

	"reconciler.dev/reconciler/pkg/spec"
)

// cgroupLimits are the limits that a manifest's cgroup asks for, by field, as a person writes them.
func cgroupLimits(g *spec.Cgroup) map[string]string {
	l := map[string]string{}
	add := func(field string, set bool, value string) {
		if set {
			l[field] = value
		}
	}
	add("cpuLimit", g.CPULimit != 0, g.CPULimit.String())
	add("memoryLimit", g.MemoryLimit != 0, g.MemoryLimit.String())
	add("memoryHigh", g.MemoryHigh != 0, g.MemoryHigh.String())
	add("pidsLimit", g.PidsLimit != 0, strconv.FormatInt(g.PidsLimit, 10))
	add("cpuWeight", g.CPUWeight != 0, strconv.Itoa(g.CPUWeight))
	add("ioWeight", g.IOWeight != 0, strconv.Itoa(g.IOWeight))
	return l
}
