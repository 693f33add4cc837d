package cgroup

import (
	"testing"

	"reconciler.dev/reconciler/pkg/spec"
)

// TestLimitTexts: what a manifest asks for, as the kernel is told, and as a manifest would have what the kernel answers.
func TestLimitTexts(t *testing.T) {
	byName := map[string]limit{}
	for _, l := range limits() {
		byName[l.field] = l
	}
	for _, c := range []struct {
		field string
		asked spec.Cgroup
		text  string
		shown string
	}{
		{"cpuLimit", spec.Cgroup{}, "", ""},
		{"cpuLimit", spec.Cgroup{CPULimit: 500}, "50000 100000", "50%"},
		{"cpuLimit", spec.Cgroup{CPULimit: 2000}, "200000 100000", "200%"},
		{"cpuLimit", spec.Cgroup{CPULimit: 333}, "33300 100000", "33.3%"},
		{"cpuLimit", spec.Cgroup{CPULimit: 10}, "1000 100000", "1%"},
		{"cpuLimit", spec.Cgroup{CPULimit: 9}, "9000 1000000", "0.9%"},
		{"cpuLimit", spec.Cgroup{CPULimit: 1}, "1000 1000000", "0.1%"},
		{"memoryLimit", spec.Cgroup{MemoryLimit: 32 << 20}, "33554432", "32M"},
		{"memoryLimit", spec.Cgroup{MemoryLimit: 32<<20 + 1}, "33554432", "32M"},
		{"memoryLimit", spec.Cgroup{MemoryLimit: spec.Unlimited}, "", ""},
		{"memoryHigh", spec.Cgroup{MemoryHigh: 5 << 30}, "5368709120", "5G"},
		{"pidsLimit", spec.Cgroup{PidsLimit: 12}, "12", "12"},
		{"cpuWeight", spec.Cgroup{CPUWeight: 1}, "1", "1"},
		{"cpuWeight", spec.Cgroup{CPUWeight: 100}, "100", ""},
		{"ioWeight", spec.Cgroup{IOWeight: 10000}, "10000", "10000"},
	} {
		l := byName[c.field]
		if got := l.asked(&c.asked); got != c.text || l.want(got) != c.shown {
			t.Errorf("%s of %+v: written %q, read back %q; want %q, %q", c.field, c.asked, got, l.want(got), c.text, c.shown)
		}
	}
	for _, c := range []struct{ field, have, shown string }{
		{"cpuLimit", "max 100000", ""},
		{"cpuLimit", "25000 50000", "50%"},
		{"cpuLimit", "nonsense", ""},
		{"memoryLimit", "max", ""},
		{"memoryLimit", "4096", "4K"},
		{"pidsLimit", "max", ""},
		{"ioWeight", "default 100", ""},
		{"ioWeight", "default 50\n8:0 200", "50"},
	} {
		if got := byName[c.field].show(c.have); got != c.shown {
			t.Errorf("%s %q is shown as %q, want %q", c.field, c.have, got, c.shown)
		}
	}
	for _, l := range limits() {
		if l.asked(nil) != "" || l.asked(&spec.Cgroup{}) != "" || l.show(l.none) != "" {
			t.Errorf("%s: nothing asked for is %q, and no limit %q", l.field, l.asked(&spec.Cgroup{}), l.show(l.none))
		}
	}
}
