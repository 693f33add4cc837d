package driverstest

import (
	"strconv"

	"reconciler.dev/reconciler/pkg/spec"
)

// Enforces makes the simulated machine enforce every limit of spec.cgroup from now on, and tell where a daemon's cgroup is, as one with cgroups does.
func (f *Fake) Enforces() *Fake {
	f.w.do(func() { f.w.enforces = true })
	return f
}

// asked are the limits that c asks for.
func asked(c *spec.Cgroup) (l []spec.Limit) {
	if c == nil {
		return nil
	}
	for _, x := range []struct {
		field string
		set   bool
		value string
	}{
		{"spec.cgroup.cpuLimit", c.CPULimit != 0, c.CPULimit.String()},
		{"spec.cgroup.memoryLimit", c.MemoryLimit != 0, c.MemoryLimit.String()},
		{"spec.cgroup.memoryHigh", c.MemoryHigh != 0, c.MemoryHigh.String()},
		{"spec.cgroup.pidsLimit", c.PidsLimit != 0, strconv.FormatInt(c.PidsLimit, 10)},
		{"spec.cgroup.cpuWeight", c.CPUWeight != 0, strconv.Itoa(c.CPUWeight)},
		{"spec.cgroup.ioWeight", c.IOWeight != 0, strconv.Itoa(c.IOWeight)},
	} {
		if x.set {
			l = append(l, spec.Limit{Field: x.field, Value: x.value})
		}
	}
	return l
}

// lost is what the simulated machine doesn't enforce.
func (w *world) lost(c *spec.Cgroup) (l []spec.Loss) {
	if w.enforces {
		return nil
	}
	for _, a := range asked(c) {
		l = append(l, spec.Loss{Field: a.Field, Reason: "the simulated machine has no cgroups"})
	}
	return l
}

// limited adds what the machine enforces of s to what was observed.
func (w *world) limited(o *spec.Observed, s *spec.Spec) {
	if o.Lost = w.lost(s.Cgroup); w.enforces {
		o.Limits, o.Cgroup = asked(s.Cgroup), "/system.slice/"+spec.UnitName(o.Name, s.Cgroup)
	}
}
