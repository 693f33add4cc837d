// Package webtest is a View without a run behind it: as many hosts and daemons as a test asks for, each in one of the states that a real one may be in. It must never look
// at this machine.
package webtest

import (
	"context"
	"fmt"
	"io"
	"math"
	"slices"
	"strings"
	"sync"
	"time"

	"reconciler.dev/reconciler/internal/web"
	"reconciler.dev/reconciler/pkg/spec"
)

// View is a web.View in memory. A test changes it through the Board, and by what else it sets before anybody asks.
type View struct {
	web.Board
	// Now is the time at which it all is.
	Now time.Time
	// Diffs, Logged and Happened are by daemon.
	Diffs    map[string]string
	Logged   map[string]string
	Happened map[string][]spec.Event
	// Sick and Missing are what Healthy and Ready return.
	Sick, Missing error

	mu    sync.Mutex
	asked []time.Duration
	usage map[[2]string]web.Usage
}

// New returns a view of that many hosts with that many daemons each. Of every twenty daemons most are well; one each is starting, stopped by a user, unhealthy, failed,
// restarting, unknown, without a limit that its manifest asks for, and changed by hand. The last of several hosts can't be reached.
func New(hosts, daemons int) *View {
	v := &View{Now: time.Date(2026, 5, 4, 12, 0, 0, 0, time.UTC), Diffs: map[string]string{}, Logged: map[string]string{}, Happened: map[string][]spec.Event{}, usage: map[[2]string]web.Usage{}}
	for h := range hosts {
		host := web.Host{Name: "localhost", Reachable: true, Since: v.Now.Add(-time.Hour), Drivers: []spec.DriverKind{spec.DriverSystemd, spec.DriverCgroup, spec.DriverProcess}}
		if h > 0 {
			host.Name, host.Address = fmt.Sprintf("gpu-%d", h), fmt.Sprintf("10.0.0.%d", h)
		}
		v.Put(host)
		for i := range daemons {
			name := fmt.Sprintf("worker-%d", i)
			v.See(v.daemon(host.Name, name, i))
			v.SetUsage(host.Name, v.use(name, i))
		}
		if h > 0 && h == hosts-1 {
			host.Reachable, host.Why, host.Message, host.Since, host.Lost = false, "unreachable", "reach host "+host.Name+": no route to host", v.Now.Add(-time.Minute), 1
			v.Put(host)
		}
	}
	return v
}

// daemon is the i-th daemon of a host.
func (v *View) daemon(host, name string, i int) web.Daemon {
	at := v.Now.Add(-time.Duration(i%50+1) * time.Minute)
	o := spec.Observed{
		Name: name, State: spec.Running, Driver: spec.DriverSystemd, Cgroup: "/rbee.slice/" + name,
		Instance: &spec.Instance{ID: fmt.Sprintf("%s-%d", name, 1), PID: 1000 + i, StartedAt: at, Up: v.Now.Sub(at), Generation: 1, Restarts: i % 3},
		Stamp:    &spec.Stamp{Metadata: spec.Metadata{Name: name}, Generation: 1, AppliedAt: at, Owner: spec.Owner{Set: "default"}, Spec: spec.Spec{Binary: "/usr/bin/worker"}},
	}
	d := web.Daemon{Host: host, Observed: o, Phase: "Running", Word: "Current", Seen: v.Now}
	ready, reconciling, stalled := cond(spec.Ready, spec.True, "Healthy", "", at), cond(spec.Reconciling, spec.False, "Settled", "", at), cond(spec.Stalled, spec.False, "NotStalled", "", at)
	switch i % 20 {
	case 3:
		ready, reconciling, d.Word = cond(spec.Ready, spec.False, "NotReady", "", at), cond(spec.Reconciling, spec.True, "Progressing", "its health check hasn't passed yet", at), "InProgress"
	case 5:
		d.Instance.Exit = &spec.Exit{Known: true, Signal: "SIGTERM", Asked: true, At: at}
		d.Paused, d.State, d.Phase, d.Word = &spec.Pause{At: at, By: "ann"}, spec.Exited, "Stopped", "Paused"
		ready = cond(spec.Ready, spec.False, "Paused", "a user stopped it; start starts it again", at)
	case 7:
		ready, d.Word = cond(spec.Ready, spec.False, "Unhealthy", "GET http://127.0.0.1:8080/healthz: 503 Service Unavailable", at), "Failed"
	case 11:
		d.Instance.Exit = &spec.Exit{Known: true, Code: 3, At: at}
		d.State, d.Phase, d.Word = spec.Exited, "Failed", "Failed"
		ready, stalled = cond(spec.Ready, spec.False, "Failed", "it ended with exit status 3", at), cond(spec.Stalled, spec.True, "Failed", "it ended with exit status 3", at)
	case 13:
		d.Instance.Last = &spec.Exit{Known: true, Signal: "SIGKILL", OOMKilled: true, At: at}
		d.Instance.Attempts = 4
	case 15:
		d.Observed = spec.Observed{Name: name, State: spec.Unknown, Message: "ask systemd: the bus doesn't answer", Driver: spec.DriverSystemd, Stamp: o.Stamp}
		d.Phase, d.Word = "Unknown", "Unknown"
		ready = cond(spec.Ready, spec.ConditionUnknown, "Unknown", d.Message, at)
	case 17:
		d.Driver, d.Lost = spec.DriverProcess, []spec.Loss{{Field: "spec.cgroup.memoryLimit", Reason: "the process driver enforces no limits"}}
		d.Fallback = []string{"systemd: it isn't what started this machine"}
	case 19:
		d.Drift = []spec.Drift{{Field: "spec.cgroup.memoryLimit", Want: "512Mi", Have: "1Gi", Class: spec.Live}}
	}
	if in := d.Instance; in != nil {
		if d.LastExit = in.Exit; d.LastExit == nil {
			d.LastExit = in.Last
		}
	}
	d.Conditions = []spec.Condition{ready, reconciling, stalled}
	return d
}

func cond(t spec.ConditionType, s spec.ConditionStatus, reason, message string, at time.Time) spec.Condition {
	return spec.Condition{Type: t, Status: s, Reason: reason, Message: message, LastTransitionTime: at, ObservedGeneration: 1}
}

// use is what the i-th daemon of a host uses. Not everything is known of every daemon.
func (v *View) use(name string, i int) web.Usage {
	d, found := v.Daemon("localhost", name)
	if !found || d.State != spec.Running {
		return web.Usage{Sample: spec.Sample{Name: name, State: spec.Exited, At: v.Now}}
	}
	n := int64(i + 1)
	u := web.Usage{Sample: spec.Sample{Name: name, State: spec.Running, Instance: d.Instance.ID, Driver: d.Driver, Cgroup: d.Cgroup, At: v.Now, Clock: time.Hour, PIDs: []int{d.Instance.PID}}}
	u.CPU = spec.CPUUse{Usage: new(time.Duration(n) * time.Second), User: new(time.Duration(n) * time.Second * 3 / 4), System: new(time.Duration(n) * time.Second / 4), Throttled: new(time.Duration(n) * time.Millisecond), Limit: new(spec.Bound(2000))}
	u.Memory = spec.MemoryUse{Current: new(n << 20), Anon: new(n << 19), File: new(n << 18), Peak: new(n << 21), Limit: new(spec.Bound(512 << 20))}
	u.IO = spec.IOUse{ReadBytes: new(n << 12), WriteBytes: new(n << 14), ReadOps: new(n), WriteOps: new(2 * n)}
	stalls := func() *spec.Stalls {
		return &spec.Stalls{Some: &spec.Stall{Avg10: 1.5, Total: time.Duration(n) * time.Millisecond}, Full: &spec.Stall{Avg10: 0.5, Total: time.Duration(n) * time.Microsecond}}
	}
	u.Pressure = spec.Pressure{CPU: stalls(), Memory: stalls(), IO: stalls()}
	u.Tasks, u.TaskLimit, u.OpenFiles, u.OOMKills = new(n%9+1), new(spec.Unbounded), new(n%90+3), new(n%2)
	u.Rates = spec.Rate{Over: 15 * time.Second, CPU: new(float64(i%15) / 10), ReadBytes: new(float64(n << 10)), WriteBytes: new(float64(n << 12)), Throttled: new(float64(i%10) / 10)}
	switch i % 10 {
	case 0:
		u.Net = spec.NetUse{RxBytes: new(n << 16), TxBytes: new(n << 15)}
		u.GPUs = []spec.GPUUse{{UUID: "GPU-8a56a4bc", Name: "NVIDIA H100", Memory: new(n << 30), Total: new(int64(80 << 30)), Utilisation: new(42.5)}}
	case 9: // a plain process
		u.Cgroup, u.IO, u.Pressure, u.OOMKills = "", spec.IOUse{}, spec.Pressure{}, nil
		u.Memory = spec.MemoryUse{Current: new(n << 20)}
		u.Missing = []spec.Loss{{Field: "memory.peak", Reason: "only a cgroup counts it"}}
	}
	return u
}

// SetUsage says what a daemon uses; a usage of no time is of now, whenever it is looked at.
func (v *View) SetUsage(host string, u web.Usage) {
	v.mu.Lock()
	defer v.mu.Unlock()
	v.usage[[2]string{host, u.Name}] = u
}

// Measure only remembers that it was asked.
func (v *View) Measure(_ context.Context, age time.Duration) {
	v.mu.Lock()
	defer v.mu.Unlock()
	v.asked = append(v.asked, age)
}

// Expect is as Measure.
func (v *View) Expect(ctx context.Context, age time.Duration) { v.Measure(ctx, age) }

// Asked are the ages of all calls of Measure and Expect.
func (v *View) Asked() []time.Duration {
	v.mu.Lock()
	defer v.mu.Unlock()
	return slices.Clone(v.asked)
}

// Usage is as web.View has it.
func (v *View) Usage(host, name string) (web.Usage, bool) {
	v.mu.Lock()
	defer v.mu.Unlock()
	u, ok := v.usage[[2]string{host, name}]
	if u.Read.IsZero() {
		u.Read = time.Now()
	}
	return u, ok
}

// Past is a wave, with a gap.
func (v *View) Past(host, name string) []web.Point {
	d, ok := v.Daemon(host, name)
	if !ok || d.Instance == nil {
		return nil
	}
	points := make([]web.Point, web.PastPoints)
	for i := range points {
		points[i].At = v.Now.Add(-time.Duration(web.PastPoints-i) * web.PastEvery)
		if i > 100 && i < 120 {
			continue
		}
		wave := 1 + math.Sin(float64(i)/20+float64(d.Instance.PID))
		points[i].CPU, points[i].Memory = new(wave/2), new(int64(100<<20*(1+wave)))
	}
	return points
}

// Diff is what Diffs has.
func (v *View) Diff(_ context.Context, host, name string) (string, error) {
	if _, ok := v.Daemon(host, name); !ok {
		return "", fmt.Errorf("compare daemon %s on %s: there is none", name, host)
	}
	return v.Diffs[name], nil
}

// Events are those of Happened.
func (v *View) Events(_ context.Context, _, name string, n int) ([]spec.Event, error) {
	all := v.Happened[name]
	return all[max(0, len(all)-n):], nil
}

// Logs writes what Logged has.
func (v *View) Logs(_ context.Context, _, name string, lines int, w io.Writer) error {
	all := slices.Collect(strings.Lines(v.Logged[name]))
	_, err := io.WriteString(w, strings.Join(all[max(0, len(all)-lines):], ""))
	return err
}

// Healthy returns Sick.
func (v *View) Healthy() error { return v.Sick }

// Ready returns Missing.
func (v *View) Ready() error { return v.Missing }
