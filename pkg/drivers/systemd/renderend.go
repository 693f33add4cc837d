package systemd

import (
	"fmt"
	"math"
	"strconv"
	"strings"
	"time"

	"reconciler.dev/reconciler/pkg/spec"
)

// margin is what the tool that asks a daemon to stop may take beyond the daemon's own time, to start and to leave.
const margin = time.Second

// toolTasks is how many processes and threads the tool is, which belong to the daemon's cgroup.
const toolTasks = 5

// soonest is the least that systemd waits before it starts an ended daemon again, where it knows longer waits for later.
const soonest = 100 * time.Millisecond

// ending says how the daemon is ended and what follows an end.
func (r *renderer) ending() {
	s := &r.d.Spec
	grace := s.Stop.GracePeriod.D()
	if s.Stop.URL != "" && grace > 0 {
		// '-': a daemon that says no is asked by signal. '+': whatever the daemon's rights are, this isn't the daemon.
		r.set("ExecStop", "-+@"+r.toolCall(toolStop, "spec.stop.url", s.Stop.URL, strconv.FormatInt(grace.Milliseconds(), 10)))
		grace += margin
		if n := r.unit.Limits.Tasks; n != 0 && n <= toolTasks {
			r.lose("spec.stop.url", fmt.Sprintf("what posts it is %d threads within spec.cgroup.pidsLimit, which is %d: the signal comes first", toolTasks, n))
		}
	}
	if reload := s.Reload; reload != nil {
		r.set("ExecReload", "+@"+r.toolCall(toolReload, "spec.reload.url", string(reload.Signal)+reload.URL))
	}
	r.set("KillMode", "control-group")
	signal := s.Stop.Signal
	if signal == "" {
		signal = "SIGTERM"
	}
	r.set("KillSignal", string(signal))
	r.set("TimeoutStopSec", span(grace))
	r.restart(&s.Restart)
}

// toolCall is a command line of the tool.
func (r *renderer) toolCall(name, field string, args ...string) string {
	if !carriable(args[0]) {
		r.refuse(field, "%q is not UTF-8", args[0])
	}
	if !executable(r.facts.Tool) {
		r.refuse(field, "systemd can't be told of %q, which would do it: keep its state in another directory (--state-dir)", r.facts.Tool)
	}
	r.unit.CallsTool = true
	var line strings.Builder
	line.WriteString(quote(r.facts.Tool, word) + " " + name)
	for _, a := range args {
		line.WriteString(" " + quote(a, argument))
	}
	return line.String()
}

// restart renders the policy, of which systemd is the owner. It counts a death by SIGTERM and its like as success; a manifest doesn't.
func (r *renderer) restart(s *spec.Restart) {
	switch s.Policy {
	case spec.RestartNever:
		r.set("Restart", "no")
		return
	case spec.RestartOnFailure:
		r.set("Restart", "on-failure")
		r.set("RestartForceExitStatus", "SIGHUP SIGINT SIGTERM SIGPIPE")
	default:
		r.set("Restart", "always")
	}
	r.backoff(s.Backoff)
}

// backoff renders the waits: from the first on they are multiplied by one factor, of 2 at most, until they are the longest.
func (r *renderer) backoff(b spec.Backoff) {
	var usual spec.Spec
	spec.Defaults(&usual)
	first, most := b.Initial.D(), b.Max.D()
	if r.facts.Version < hasSteps {
		if b.Max != usual.Restart.Backoff.Max && most > first {
			r.lose("spec.restart.backoff.max", fmt.Sprintf("systemd %d always waits for backoff.initial; the waits grow from version %d on", r.facts.Version, hasSteps))
		}
		r.set("RestartSec", span(first))
		return
	}
	if b.ResetAfter != usual.Restart.Backoff.ResetAfter {
		r.lose("spec.restart.backoff.resetAfter", "systemd forgets restarts only when the daemon is started anew")
	}
	first = min(first, soonest)
	r.set("RestartSec", span(first))
	if most > first {
		r.set("RestartSteps", strconv.Itoa(int(math.Ceil(math.Log2(float64(most)/float64(first))))))
		r.set("RestartMaxDelaySec", span(most))
	}
}
