package spec

import (
	"encoding/json"
	"fmt"
	"math"
	"time"
)

// Sample is what one daemon has used up to one moment. A figure that is nil isn't known, which is never the same as zero; where the reason is one that a person can do
// something about, Missing says it. Counters grow from the start of the instance on: Rates makes rates of two samples.
type Sample struct {
	Name string `json:"name"`
	// State is Running, with figures; Exited or Absent, where there is nothing to have figures of; or Unknown, and Message says why.
	State   State  `json:"state"`
	Message string `json:"message,omitempty"`
	// Instance is the ID of the instance that it is about. What another one has used is no continuation of this.
	Instance string     `json:"instance,omitempty"`
	Driver   DriverKind `json:"driver,omitempty"`
	// Cgroup is as in Observed.
	Cgroup string `json:"cgroup,omitempty"`
	// At is wall clock, for people; Clock is the time since that host was booted, by a clock that nobody sets.
	At    time.Time     `json:"at"`
	Clock time.Duration `json:"clockNs"`

	CPU      CPUUse    `json:"cpu,omitzero"`
	Memory   MemoryUse `json:"memory,omitzero"`
	IO       IOUse     `json:"io,omitzero"`
	Net      NetUse    `json:"net,omitzero"`
	Pressure Pressure  `json:"pressure,omitzero"`
	// Tasks counts processes and their threads; TaskLimit is the most there may be.
	Tasks     *int64 `json:"tasks,omitempty"`
	TaskLimit *Bound `json:"taskLimit,omitempty"`
	// OpenFiles counts the open file descriptors of all processes: see proc_pid_fd(5).
	OpenFiles *int64 `json:"openFiles,omitempty"`
	// OOMKills counts the processes that the kernel killed for want of memory.
	OOMKills *int64 `json:"oomKills,omitempty"`
	// GPUs has an entry for each GPU that the daemon's processes use; nil where that isn't known, empty where they use none.
	GPUs []GPUUse `json:"gpus,omitzero"`
	// PIDs are all of its processes, sorted.
	PIDs []int `json:"pids,omitempty"`
	// Ports are where its own sockets listen, sorted; nil where that isn't known or wasn't asked for, empty where none does.
	Ports []Port `json:"ports,omitzero"`
	// Missing says of figures why they aren't known, by their paths, as in memory.peak.
	Missing []Loss `json:"missing,omitempty"`
	// Outgoing has the figures of the instance before this one, as long as both run (see Observed); they are no part of the others.
	Outgoing *Sample `json:"outgoing,omitempty"`
}

// CPUUse is CPU time, of all cores together.
type CPUUse struct {
	Usage  *time.Duration `json:"usageNs,omitempty"`
	User   *time.Duration `json:"userNs,omitempty"`
	System *time.Duration `json:"systemNs,omitempty"`
	// Throttled is how long it was kept from running by its limit, ThrottledPeriods in how many of Periods: see cpu.stat in the kernel's cgroup-v2 documentation. They
	// are counted only where there is a limit.
	Throttled        *time.Duration `json:"throttledNs,omitempty"`
	Periods          *int64         `json:"periods,omitempty"`
	ThrottledPeriods *int64         `json:"throttledPeriods,omitempty"`
	// Limit is in thousandths of a core.
	Limit *Bound `json:"limitMilli,omitempty"`
}

// MemoryUse is in bytes. Of a cgroup it is what the kernel charges to that, page cache and kernel memory included. Where no cgroup counts it, it is what of its process is in memory (RSS),
// and of several processes their proportional set sizes (PSS), in which memory that they share counts once.
type MemoryUse struct {
	Current *int64 `json:"currentBytes,omitempty"`
	// Anon is memory that no file stands behind; File is page cache.
	Anon *int64 `json:"anonBytes,omitempty"`
	File *int64 `json:"fileBytes,omitempty"`
	// Peak is the most that Current ever was.
	Peak  *int64 `json:"peakBytes,omitempty"`
	Limit *Bound `json:"limitBytes,omitempty"`
}

// IOUse is what went to and came from block devices; without a cgroup, what the processes caused of that.
type IOUse struct {
	ReadBytes  *int64 `json:"readBytes,omitempty"`
	WriteBytes *int64 `json:"writeBytes,omitempty"`
	ReadOps    *int64 `json:"readOps,omitempty"`
	WriteOps   *int64 `json:"writeOps,omitempty"`
}

// NetUse is what went over the interfaces of the daemon's own network namespace, loopback aside. Linux counts it for namespaces, and for no process in one.
type NetUse struct {
	RxBytes *int64 `json:"rxBytes,omitempty"`
	TxBytes *int64 `json:"txBytes,omitempty"`
}

// Pressure is how much of its time a daemon has waited for a resource: see PSI in the kernel's documentation.
type Pressure struct {
	CPU    *Stalls `json:"cpu,omitempty"`
	Memory *Stalls `json:"memory,omitempty"`
	IO     *Stalls `json:"io,omitempty"`
}

// Stalls are the times in which some of the tasks waited, and in which all did.
type Stalls struct {
	Some *Stall `json:"some,omitempty"`
	Full *Stall `json:"full,omitempty"`
}

// Stall is how long tasks have waited.
type Stall struct {
	// Avg10 is the share of the last ten seconds, in percent.
	Avg10 float64       `json:"avg10"`
	Total time.Duration `json:"totalNs"`
}

// GPUUse is what the daemon's processes use of one GPU.
type GPUUse struct {
	// UUID is the driver's name of the GPU that stays, as in GPU-8a56a4bc…; Name is its model.
	UUID string `json:"uuid"`
	Name string `json:"name,omitempty"`
	// Memory is in bytes, of the daemon's processes alone; Total is what the GPU has.
	Memory *int64 `json:"memoryBytes,omitempty"`
	Total  *int64 `json:"totalBytes,omitempty"`
	// Utilisation is the share of time in which the GPU computed, in percent, for whomever: GPUs don't tell processes apart.
	Utilisation *float64 `json:"utilisationPercent,omitempty"`
}

// Port is a socket that listens, or, with udp, receives from anybody.
type Port struct {
	// Network is tcp, tcp6, udp or udp6.
	Network string `json:"network"`
	// Address is a numeric IP address; 0.0.0.0 and :: are all of the host's.
	Address string `json:"address"`
	Port    int    `json:"port"`
	// PID is the lowest of the processes that have it open.
	PID int `json:"pid,omitempty"`
}

// Bound is the most that a figure may be, Unbounded where there is none. In JSON it is a number, or "infinity".
type Bound int64

// Unbounded is the Bound of what isn't limited.
const Unbounded Bound = math.MaxInt64

// MarshalJSON writes a number, or "infinity".
func (l Bound) MarshalJSON() ([]byte, error) {
	if l == Unbounded {
		return []byte(`"infinity"`), nil
	}
	return json.Marshal(int64(l))
}

// UnmarshalJSON reads what MarshalJSON writes.
func (l *Bound) UnmarshalJSON(b []byte) error {
	if string(b) == `"infinity"` {
		*l = Unbounded
		return nil
	}
	var n int64
	if err := json.Unmarshal(b, &n); err != nil {
		return fmt.Errorf(`%s is no limit: a number or "infinity"`, b)
	}
	*l = Bound(n)
	return nil
}
