package driverstest

import (
	"fmt"
	"maps"
	"os"
	"os/exec"
	"slices"
	"syscall"
	"testing"
	"time"

	"reconciler.dev/reconciler/pkg/spec"
)

// BareStart starts n processes with as little as can be, each as attr says.
func BareStart(b *testing.B, n int, attr func(i int) *syscall.SysProcAttr) (time.Duration, []*exec.Cmd) {
	b.Helper()
	out, err := os.OpenFile(os.DevNull, os.O_WRONLY, 0)
	if err != nil {
		b.Fatal(err)
	}
	defer out.Close()
	cmds := make([]*exec.Cmd, n)
	began := time.Now()
	for i := range cmds {
		cmds[i] = exec.Command("/bin/sleep", "1000")
		cmds[i].Stdout, cmds[i].Stderr, cmds[i].SysProcAttr = out, out, attr(i)
		if err := cmds[i].Start(); err != nil {
			b.Fatal(err)
		}
	}
	return time.Since(began), cmds
}

// Many is what BenchmarkManyDaemons is of.
type Many struct {
	Kind spec.DriverKind
	// N is how many daemons there are, Workers how many are started at once.
	N, Workers int
	// Bare takes the times of the bare kernel for N starts and N ends.
	Bare func() (start, stop time.Duration)
	// Fresh returns a rig, and a function for another one over the same daemons, as another process would have one.
	Fresh func() (r *Rig, another func() *Rig)
	// Rest is as long as the driver doesn't trust what it has just seen.
	Rest time.Duration
}

// Run starts, looks at and stops many daemons, each beside what the bare kernel takes for it, and reports the medians.
func (m Many) Run(b *testing.B) {
	names := make([]string, m.N)
	ds := make([]*spec.Daemon, m.N)
	for i := range ds {
		names[i] = fmt.Sprintf("d%03d", i)
		ds[i] = Want(m.Kind, names[i], "/bin/sleep", "1000")
	}
	times := map[string][]time.Duration{}
	took := func(what string, t time.Duration) { times[what] = append(times[what], t) }
	for b.Loop() {
		start, stop := m.Bare()
		took("bare-start-ms", start)
		took("bare-stop-ms", stop)
		r, another := m.Fresh()
		took("start-ms", r.Each(spec.VerbStart, ds, m.Workers))
		r = another() // what a command sees that has just begun
		for _, what := range []string{"observe-ms", "observe-again-ms"} {
			began := time.Now()
			found, err := r.Driver.Observe(b.Context(), names...)
			if err != nil {
				b.Fatal(err)
			}
			took(what, time.Since(began))
			for _, o := range found {
				if o.State != spec.Running {
					b.Fatalf("%s is %s", o.Name, o.State)
				}
			}
			<-time.After(m.Rest)
		}
		took("stop-ms", r.Each(spec.VerbStop, ds, m.N))
	}
	for _, what := range slices.Sorted(maps.Keys(times)) {
		slices.Sort(times[what])
		b.ReportMetric(float64(times[what][len(times[what])/2].Microseconds())/1000, what)
	}
	b.ReportMetric(0, "ns/op")
}
