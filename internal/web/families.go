package web

import (
	"math"
	"slices"
	"strings"
	"time"

	"reconciler.dev/reconciler/pkg/spec"
)

// row is a daemon, and what it uses.
type row struct {
	*Daemon
	labels labels
	use    Usage     // with nothing in it where it isn't known
	of     time.Time // the time that use bears
}

// family is a kind of figure of each daemon.
type family struct {
	name, unit string
	kind       kind
	help       string
	// write writes those of one daemon, or nothing where they aren't known.
	write func(e *encoder, r *row)
}

// phases are all that a daemon may be in, as the label has them.
func phases() []string {
	return []string{"Running", "Starting", "Stopping", "Stopped", "Restarting", "Failed", "Absent", "Unknown"}
}

// lookedFamilies are those of daemons that looks tell. Units and names, here and in what is measured, are as node_exporter, cAdvisor, systemd_exporter and process-exporter have them, where
// they have one.
func lookedFamilies() []family { return slices.Concat(stateFamilies(), exitFamilies()) }

// measuredFamilies are those of what daemons use.
func measuredFamilies() []family {
	return slices.Concat(cpuFamilies(), memoryFamilies(), otherFamilies(), pressureFamilies(), gpuFamilies())
}

func stateFamilies() []family {
	states := make([]labels, len(phases()))
	for i, p := range phases() {
		states[i] = label("state", strings.ToLower(p))
	}
	return []family{
		{"reconciler_daemon", "", info, "What runs the daemon, and which owner set and service it is of.", func(e *encoder, r *row) {
			if r.Stale || r.Stamp == nil {
				return
			}
			of := label("driver", string(r.Driver)).and(label("set", r.Stamp.Owner.Set))
			if g := r.Stamp.Spec.Cgroup; g != nil && g.Service != "" {
				of = of.and(label("service", g.Service))
			}
			e.int(r.labels, of, 1)
		}},
		{"reconciler_daemon_state", "", gauge, "1 for the state that the daemon is in, 0 for the others; where it is unknown there are no others.", func(e *encoder, r *row) {
			phase := r.Phase
			if r.Stale {
				phase = "Unknown"
			}
			for i, p := range phases() {
				if p == phase {
					e.int(r.labels, states[i], 1)
				} else if phase != "Unknown" {
					e.int(r.labels, states[i], 0)
				}
			}
		}},
		condition("reconciler_daemon_ready", spec.Ready, "Whether the daemon is Ready: it runs, and its health checks pass."),
		condition("reconciler_daemon_reconciling", spec.Reconciling, "Whether the daemon isn't as it shall be yet, and is on its way or waits for another try."),
		condition("reconciler_daemon_stalled", spec.Stalled, "Whether the daemon isn't as it shall be, and won't be without somebody's help."),
		known("reconciler_daemon_paused", "Whether a user stopped the daemon, until it is started by one.", func(r *row) int64 { return one(r.Paused != nil) }),
		known("reconciler_daemon_drifted_fields", "Fields that somebody changed behind our back.", func(r *row) int64 { return int64(len(r.Drift)) }),
		known("reconciler_daemon_unenforced_fields", "Fields, limits among them, that the manifest asks for and that aren't enforced on that host.", func(r *row) int64 { return int64(len(r.Lost)) }),
		known("reconciler_daemon_generation", "The generation of the manifest that was applied.", func(r *row) int64 {
			if r.Stamp == nil {
				return 0
			}
			return r.Stamp.Generation
		}),
	}
}

// condition is 1 or 0, and left out where it is Unknown.
func condition(name string, t spec.ConditionType, help string) family {
	return family{name, "", gauge, help, func(e *encoder, r *row) {
		for _, c := range r.Conditions {
			if c.Type == t && !r.Stale && c.Status != spec.ConditionUnknown {
				e.int(r.labels, "", one(c.Status == spec.True))
			}
		}
	}}
}

// known is a figure of every daemon that could be looked at.
func known(name, help string, value func(*row) int64) family {
	return family{name, "", gauge, help, func(e *encoder, r *row) {
		if !r.Stale && r.State != spec.Unknown {
			e.int(r.labels, "", value(r))
		}
	}}
}

func one(yes bool) int64 {
	if yes {
		return 1
	}
	return 0
}

func exitFamilies() []family {
	return []family{
		instance("reconciler_daemon_start_time_seconds", "seconds", gauge, "When the instance that runs, or ran last, was started, since 1970.", func(e *encoder, r *row) {
			if at := r.Instance.StartedAt; !at.IsZero() {
				e.seconds(r.labels, "", time.Duration(at.UnixNano()))
			}
		}),
		instance("reconciler_daemon_restarts", "", counter, "Restarts after an end that nobody asked for.", func(e *encoder, r *row) { e.int(r.labels, "", int64(r.Instance.Restarts)) }),
		instance("reconciler_daemon_restart_attempts", "", gauge, "Restarts in a row, without a stable spell between; the wait before the next one grows with it.", func(e *encoder, r *row) {
			e.int(r.labels, "", int64(r.Instance.Attempts))
		}),
		exit("reconciler_daemon_last_exit_code", "", "The exit status that the daemon ended with last, unless a signal ended it.", func(e *encoder, r *row) {
			if x := r.LastExit; x.Known && x.Signal == "" {
				e.int(r.labels, "", int64(x.Code))
			}
		}),
		exit("reconciler_daemon_last_exit_signal", "", "1 for the signal that ended the daemon last.", func(e *encoder, r *row) {
			if x := r.LastExit; x.Known && x.Signal != "" {
				e.int(r.labels, label("signal", x.Signal), 1)
			}
		}),
		exit("reconciler_daemon_last_exit_oom_killed", "", "Whether the kernel killed the daemon for its memory limit when it ended last.", func(e *encoder, r *row) {
			if r.LastExit.Known {
				e.int(r.labels, "", one(r.LastExit.OOMKilled))
			}
		}),
		exit("reconciler_daemon_last_exit_time_seconds", "seconds", "When that end was seen, since 1970.", func(e *encoder, r *row) {
			if at := r.LastExit.At; !at.IsZero() {
				e.seconds(r.labels, "", time.Duration(at.UnixNano()))
			}
		}),
	}
}

// instance is of daemons that were ever started.
func instance(name, unit string, k kind, help string, write func(e *encoder, r *row)) family {
	return family{name, unit, k, help, func(e *encoder, r *row) {
		if !r.Stale && r.Instance != nil {
			write(e, r)
		}
	}}
}

// exit is of daemons that ever ended.
func exit(name, unit, help string, write func(e *encoder, r *row)) family {
	return family{name, unit, gauge, help, func(e *encoder, r *row) {
		if !r.Stale && r.LastExit != nil {
			write(e, r)
		}
	}}
}

func cpuFamilies() []family {
	return []family{
		lasting("reconciler_daemon_cpu_seconds", "CPU time used, of all cores and processes together.", func(u *Usage) *time.Duration { return u.CPU.Usage }),
		lasting("reconciler_daemon_cpu_user_seconds", "That in user space.", func(u *Usage) *time.Duration { return u.CPU.User }),
		lasting("reconciler_daemon_cpu_system_seconds", "That in the kernel.", func(u *Usage) *time.Duration { return u.CPU.System }),
		lasting("reconciler_daemon_cpu_throttled_seconds", "Time for which the CPU limit kept the daemon from running.", func(u *Usage) *time.Duration { return u.CPU.Throttled }),
		amount("reconciler_daemon_cpu_periods", "", counter, "Periods in which the daemon ran under a CPU limit.", func(u *Usage) *int64 { return u.CPU.Periods }),
		amount("reconciler_daemon_cpu_throttled_periods", "", counter, "Those of them in which the limit stopped it.", func(u *Usage) *int64 { return u.CPU.ThrottledPeriods }),
		bound("reconciler_daemon_cpu_limit_cores", "", "Cores that it may use; +Inf where there is no limit.", 1000, func(u *Usage) *spec.Bound { return u.CPU.Limit }),
	}
}

func memoryFamilies() []family {
	return []family{
		amount("reconciler_daemon_memory_bytes", "bytes", gauge, "Memory: what the kernel charges to the daemon's cgroup, or else what its processes have in memory.", func(u *Usage) *int64 { return u.Memory.Current }),
		amount("reconciler_daemon_memory_anon_bytes", "bytes", gauge, "That which no file stands behind.", func(u *Usage) *int64 { return u.Memory.Anon }),
		amount("reconciler_daemon_memory_file_bytes", "bytes", gauge, "That which is page cache.", func(u *Usage) *int64 { return u.Memory.File }),
		amount("reconciler_daemon_memory_peak_bytes", "bytes", gauge, "The most that it ever was.", func(u *Usage) *int64 { return u.Memory.Peak }),
		bound("reconciler_daemon_memory_limit_bytes", "bytes", "The most that it may be; +Inf where there is no limit.", 1, func(u *Usage) *spec.Bound { return u.Memory.Limit }),
		amount("reconciler_daemon_oom_kills", "", counter, "Processes that the kernel killed for want of memory.", func(u *Usage) *int64 { return u.OOMKills }),
	}
}

func otherFamilies() []family {
	return []family{
		amount("reconciler_daemon_io_read_bytes", "bytes", counter, "Bytes read from block devices.", func(u *Usage) *int64 { return u.IO.ReadBytes }),
		amount("reconciler_daemon_io_written_bytes", "bytes", counter, "Bytes written to block devices.", func(u *Usage) *int64 { return u.IO.WriteBytes }),
		amount("reconciler_daemon_io_reads", "", counter, "Reads from block devices.", func(u *Usage) *int64 { return u.IO.ReadOps }),
		amount("reconciler_daemon_io_writes", "", counter, "Writes to block devices.", func(u *Usage) *int64 { return u.IO.WriteOps }),
		amount("reconciler_daemon_network_receive_bytes", "bytes", counter, "Bytes received, of daemons with a network namespace of their own.", func(u *Usage) *int64 { return u.Net.RxBytes }),
		amount("reconciler_daemon_network_transmit_bytes", "bytes", counter, "Bytes sent, of daemons with a network namespace of their own.", func(u *Usage) *int64 { return u.Net.TxBytes }),
		amount("reconciler_daemon_tasks", "", gauge, "Processes and threads.", func(u *Usage) *int64 { return u.Tasks }),
		bound("reconciler_daemon_tasks_limit", "", "The most that there may be; +Inf where there is no limit.", 1, func(u *Usage) *spec.Bound { return u.TaskLimit }),
		amount("reconciler_daemon_processes", "", gauge, "Processes.", func(u *Usage) *int64 {
			if u.PIDs == nil {
				return nil
			}
			n := int64(len(u.PIDs))
			return &n
		}),
		amount("reconciler_daemon_open_fds", "", gauge, "Open file descriptors of all processes.", func(u *Usage) *int64 { return u.OpenFiles }),
	}
}

func pressureFamilies() []family {
	resources := [...]labels{label("resource", "cpu"), label("resource", "memory"), label("resource", "io")}
	stalls := func(name, help string, of func(*spec.Stalls) *spec.Stall) family {
		return family{name, "seconds", counter, help, func(e *encoder, r *row) {
			for i, s := range [...]*spec.Stalls{r.use.Pressure.CPU, r.use.Pressure.Memory, r.use.Pressure.IO} {
				if s != nil && of(s) != nil {
					e.seconds(r.labels, resources[i], of(s).Total)
				}
			}
		}}
	}
	return []family{
		stalls("reconciler_daemon_pressure_waiting_seconds", "Time in which some tasks of the daemon waited for the resource.", func(s *spec.Stalls) *spec.Stall { return s.Some }),
		stalls("reconciler_daemon_pressure_stalled_seconds", "Time in which all of them did.", func(s *spec.Stalls) *spec.Stall { return s.Full }),
	}
}

func gpuFamilies() []family {
	gpus := func(name, unit, help string, value func(g spec.GPUUse) *float64) family {
		return family{name, unit, gauge, help, func(e *encoder, r *row) {
			for _, g := range r.use.GPUs {
				if v := value(g); v != nil {
					e.float(r.labels, label("gpu", g.UUID), *v)
				}
			}
		}}
	}
	return []family{
		gpus("reconciler_daemon_gpu_memory_bytes", "bytes", "GPU memory of the daemon's processes.", func(g spec.GPUUse) *float64 { return whole(g.Memory) }),
		gpus("reconciler_daemon_gpu_memory_total_bytes", "bytes", "What that GPU has.", func(g spec.GPUUse) *float64 { return whole(g.Total) }),
		gpus("reconciler_daemon_gpu_utilization_ratio", "ratio", "The share of time in which that GPU computed, for whomever.", func(g spec.GPUUse) *float64 {
			if g.Utilisation == nil {
				return nil
			}
			share := *g.Utilisation / 100
			return &share
		}),
	}
}

func whole(n *int64) *float64 {
	if n == nil {
		return nil
	}
	f := float64(*n)
	return &f
}

func amount(name, unit string, k kind, help string, of func(*Usage) *int64) family {
	return family{name, unit, k, help, func(e *encoder, r *row) {
		if n := of(&r.use); n != nil {
			e.int(r.labels, "", *n)
		}
	}}
}

func lasting(name, help string, of func(*Usage) *time.Duration) family {
	return family{name, "seconds", counter, help, func(e *encoder, r *row) {
		if d := of(&r.use); d != nil {
			e.seconds(r.labels, "", *d)
		}
	}}
}

// bound is a limit, in parts of which there are so many in the figure's unit.
func bound(name, unit, help string, parts float64, of func(*Usage) *spec.Bound) family {
	return family{name, unit, gauge, help, func(e *encoder, r *row) {
		switch b := of(&r.use); {
		case b == nil:
		case *b == spec.Unbounded:
			e.float(r.labels, "", math.Inf(1))
		case parts == 1:
			e.int(r.labels, "", int64(*b))
		default:
			e.float(r.labels, "", float64(*b)/parts)
		}
	}}
}
