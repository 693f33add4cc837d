package systemd

import (
	"fmt"
	"math"
	"strconv"
	"time"

	"github.com/coreos/go-systemd/v22/dbus"
	godbus "github.com/godbus/dbus/v5"

	"reconciler.dev/reconciler/pkg/spec"
)

// Limits are those of a daemon's spec.cgroup that systemd writes into its cgroup; 0 is none. They can be compared.
type Limits struct {
	CPU                   spec.CPU
	MemoryMax, MemoryHigh spec.Bytes
	Tasks                 int64
	CPUWeight, IOWeight   int
}

// limitsOf takes the limits from a spec. What is written as infinity is no limit.
func limitsOf(c *spec.Cgroup) Limits {
	if c == nil {
		return Limits{}
	}
	l := Limits{CPU: c.CPULimit, MemoryMax: c.MemoryLimit, MemoryHigh: c.MemoryHigh, Tasks: c.PidsLimit, CPUWeight: c.CPUWeight, IOWeight: c.IOWeight}
	if l.MemoryMax == spec.Unlimited {
		l.MemoryMax = 0
	}
	if l.MemoryHigh == spec.Unlimited {
		l.MemoryHigh = 0
	}
	return l
}

// unlimited is what stands for no limit, or no weight of its own, on D-Bus.
const unlimited uint64 = math.MaxUint64

// Properties sets all of the limits on a unit, with SetUnitProperties; those that there are none of are taken away. See org.freedesktop.systemd1(5).
func (l Limits) Properties() []dbus.Property {
	set := func(name string, n, scale uint64) dbus.Property {
		if n == 0 {
			return dbus.Property{Name: name, Value: godbus.MakeVariant(unlimited)}
		}
		return dbus.Property{Name: name, Value: godbus.MakeVariant(n * scale)}
	}
	return []dbus.Property{
		set("CPUQuotaPerSecUSec", uint64(l.CPU), 1000),
		set("MemoryMax", uint64(l.MemoryMax), 1),
		{Name: "MemorySwapMax", Value: godbus.MakeVariant(l.swapMax())},
		set("MemoryHigh", uint64(l.MemoryHigh), 1),
		set("TasksMax", uint64(l.Tasks), 1),
		set("CPUWeight", uint64(l.CPUWeight), 1),
		set("IOWeight", uint64(l.IOWeight), 1),
	}
}

// swapMax keeps a daemon with a limit of its memory out of the swap, so that the limit is one of all memory; else there is none.
func (l Limits) swapMax() uint64 {
	if l.MemoryMax != 0 {
		return 0
	}
	return unlimited
}

// LimitFile is a file of a cgroup with a limit: see the kernel's Documentation/admin-guide/cgroup-v2.rst.
type LimitFile struct {
	// Field is the manifest's, as in spec.cgroup.memoryLimit.
	Field string
	// Controller is the one that must be enabled for the file to be there.
	Controller string
	// Name is the file's, Want its content, without the newline, once the limit holds.
	Name, Want string
	// Limited is false where nothing is asked for, and Want is what the kernel begins with.
	Limited bool
}

// Files are what the limits must read back as on a machine with that page size, all six, in the order of the manifest's fields.
func (l Limits) Files(page int) []LimitFile {
	memory := func(b spec.Bytes) string {
		if b == 0 {
			return "max"
		}
		return strconv.FormatInt(int64(b)/int64(page)*int64(page), 10)
	}
	tasks := "max"
	if l.Tasks != 0 {
		tasks = strconv.FormatInt(l.Tasks, 10)
	}
	weight := func(w int) string {
		if w == 0 {
			w = 100
		}
		return strconv.Itoa(w)
	}
	return []LimitFile{
		{"spec.cgroup.cpuLimit", "cpu", "cpu.max", cpuMax(l.CPU), l.CPU != 0},
		{"spec.cgroup.memoryLimit", "memory", "memory.max", memory(l.MemoryMax), l.MemoryMax != 0},
		{"spec.cgroup.memoryHigh", "memory", "memory.high", memory(l.MemoryHigh), l.MemoryHigh != 0},
		{"spec.cgroup.pidsLimit", "pids", "pids.max", tasks, l.Tasks != 0},
		{"spec.cgroup.cpuWeight", "cpu", "cpu.weight", weight(l.CPUWeight), l.CPUWeight != 0},
		{"spec.cgroup.ioWeight", "io", "io.weight", "default " + weight(l.IOWeight), l.IOWeight != 0},
	}
}

// The bounds that the kernel sets to the two numbers of cpu.max, and the period that it and systemd begin with, in microseconds.
const (
	cpuLeast   = int64(time.Millisecond / time.Microsecond)
	cpuMost    = int64(time.Second / time.Microsecond)
	cpuDefault = int64(100 * time.Millisecond / time.Microsecond)
)

// cpuMax is what systemd makes of a quota: it stretches the period where the quota in it would be below what the kernel takes (systemd's cgroup_cpu_adjust_period).
func cpuMax(c spec.CPU) string {
	if c == 0 {
		return fmt.Sprintf("max %d", cpuDefault)
	}
	perSecond := int64(c) * 1000
	period := min(max(cpuDefault, cpuLeast*cpuMost/perSecond), cpuMost)
	return fmt.Sprintf("%d %d", max(perSecond*period/cpuMost, cpuLeast), period)
}

// settings are the limits as lines of a unit. TasksMax= is always there, because a host's default for it isn't unlimited.
func (l Limits) settings(w *writer) {
	if l.CPU != 0 {
		w.set("CPUQuota", l.CPU.String())
	}
	if l.MemoryMax != 0 {
		w.set("MemoryMax", strconv.FormatInt(int64(l.MemoryMax), 10))
		w.set("MemorySwapMax", "0")
	}
	if l.MemoryHigh != 0 {
		w.set("MemoryHigh", strconv.FormatInt(int64(l.MemoryHigh), 10))
	}
	if l.Tasks != 0 {
		w.set("TasksMax", strconv.FormatInt(l.Tasks, 10))
	} else {
		w.set("TasksMax", "infinity")
	}
	if l.CPUWeight != 0 {
		w.set("CPUWeight", strconv.Itoa(l.CPUWeight))
	}
	if l.IOWeight != 0 {
		w.set("IOWeight", strconv.Itoa(l.IOWeight))
	}
}

// limitKeys are the settings that Limits.settings writes: what SetUnitProperties changes on a running unit.
func limitKeys() []string {
	return []string{"CPUQuota", "MemoryMax", "MemorySwapMax", "MemoryHigh", "TasksMax", "CPUWeight", "IOWeight"}
}
