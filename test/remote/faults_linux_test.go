package remote

import (
	"slices"
	"strings"
	"testing"

	"golang.org/x/sys/unix"

	"reconciler.dev/reconciler/test/labhost"
)

// fault is something that goes wrong between an administrator and a host, or there.
type fault struct {
	name string
	// strike makes it, and mend what a person does about it; nil: nobody does anything.
	strike, mend func(t *testing.T, h *labhost.Host)
	// noticed says that the host can't be reached until it is mended, and that this is told.
	noticed bool
	// rebooted says that no process of the host outlives it.
	rebooted bool
}

func faults() []fault {
	must := func(t *testing.T, err error) {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
	}
	net := func(up bool) func(*testing.T, *labhost.Host) {
		return func(t *testing.T, h *labhost.Host) { must(t, h.Net(up)) }
	}
	freeze := func(frozen bool) func(*testing.T, *labhost.Host) {
		return func(t *testing.T, h *labhost.Host) { must(t, h.Freeze(frozen)) }
	}
	return []fault{
		{name: "the link goes down", strike: net(false), mend: net(true), noticed: true},
		{name: "one packet in ten is lost, and that stays so", strike: func(t *testing.T, h *labhost.Host) {
			must(t, h.Lose(0.1))
			t.Cleanup(func() { must(t, h.Lose(0)) })
		}},
		{name: "nine packets in ten are lost for a while", noticed: true,
			strike: func(t *testing.T, h *labhost.Host) { must(t, h.Lose(0.9)) }, mend: func(t *testing.T, h *labhost.Host) { must(t, h.Lose(0)) }},
		{name: "sshd is killed, with all of its sessions", strike: func(t *testing.T, h *labhost.Host) { killAll(t, h, isSshd) }},
		{name: "the agent is killed", strike: func(t *testing.T, h *labhost.Host) { killAll(t, h, isAgent) }},
		{name: "the host freezes and thaws", strike: freeze(true), mend: freeze(false), noticed: true},
		{name: "the host's power is cut, and it boots again", rebooted: true, strike: func(t *testing.T, h *labhost.Host) { must(t, h.PowerCycle(t.Context())) }},
		{name: "the host reboots", rebooted: true, strike: func(t *testing.T, h *labhost.Host) { must(t, h.Reboot(t.Context())) }},
	}
}

func isSshd(p labhost.Process) bool {
	return strings.HasPrefix(p.Args[0], "sshd:") || strings.HasSuffix(p.Args[0], "/sshd")
}

// isSession tells those of sshd's processes that serve a connection from the one that listens.
func isSession(p labhost.Process) bool {
	return strings.HasPrefix(p.Args[0], "sshd:") && !strings.Contains(strings.Join(p.Args, " "), "listener")
}

// isAgent tells an agent by its command line: the program, and the verb.
func isAgent(p labhost.Process) bool {
	return strings.Contains(p.Args[0], "reconciler") && slices.Contains(p.Args[1:], "agent")
}

// killAll kills processes of a host, of which there must be one.
func killAll(t *testing.T, h *labhost.Host, which func(labhost.Process) bool) {
	t.Helper()
	all, err := h.Processes()
	if err != nil {
		t.Fatal(err)
	}
	killed := 0
	for _, p := range all {
		if which(p) && h.Signal(p, unix.SIGKILL) == nil { // one's end may be that of the next
			killed++
		}
	}
	if killed == 0 {
		t.Fatalf("%s has no such process: %v", h.Name, all)
	}
}

// testFaults has a run keep daemons on two hosts, and strikes one of those in the middle of a step. The other one's daemons are kept meanwhile. In the end everything is as declared, once,
// and what happened and was declared while the host was out of sight wasn't missed.
func testFaults(t *testing.T, s *site) {
	bystander, rest := s.hosts[0], make(chan *labhost.Host, len(s.hosts))
	for _, h := range s.hosts[1:] {
		rest <- h
	}
	for _, f := range faults() {
		t.Run(f.name, func(t *testing.T) {
			t.Parallel()
			host := <-rest
			t.Cleanup(func() { rest <- host })
			f.test(t, s.newOffice(t), host, bystander)
		})
	}
}

func (f fault) test(t *testing.T, o *office, host, bystander *labhost.Host) {
	slow := o.daemon(host, "slow", "process", "-stubborn")
	slow.spec = "  stop: {gracePeriod: 3s}\n"
	plain, unit, away := o.daemon(host, "plain", "process"), o.daemon(host, "unit", "systemd"), o.daemon(bystander, "away", "process")
	all := []*daemon{slow, plain, unit, away}
	for _, d := range all {
		d.declare()
	}
	run := o.keep()
	first := map[*daemon]int{}
	for _, d := range all {
		first[d] = d.becomesWhatIsDeclared(0)
	}

	slow.change(1) // its restart takes three seconds, in the middle of which
	slow.isAsked()
	before := run.out.String()
	f.strike(t, host)
	again := away.becomes(away.kill())
	if !f.rebooted {
		first[plain] = plain.kill()
	}
	unit.change(1)
	if f.noticed {
		run.saysAfter(before, "unreachable")
	}
	if f.mend != nil {
		f.mend(t, host)
	}
	for _, d := range []*daemon{slow, plain, unit} {
		d.becomesWhatIsDeclared(first[d])
	}

	eventually(t, "get says that all are Ready", func() bool {
		now := o.get(host.Name)
		return !slices.ContainsFunc([]*daemon{slow, plain, unit}, func(d *daemon) bool { return now[d.name].is("Ready") != "True" })
	})
	run.interrupt()
	unchanged := o.ok("apply", "-f", o.manifests())
	for _, d := range all {
		unchanged.said("daemon/" + d.name + " unchanged")
		starts := 2
		if f.rebooted {
			starts = -1
		}
		d.isOnce(starts)
	}
	if c := away.copies(); len(c) != 1 || c[0].PID != again {
		t.Errorf("the daemon of the other host, process %d, became %v", again, c)
	}
	eventually(t, "no agent is left on "+host.Name, func() bool { return len(processes(o, host, isAgent)) == 0 })
}

// testControllerKilled kills the run itself in the middle of a step. The agent finishes that step and ends, the daemons live on as they are, and the next run makes what is declared of it.
func testControllerKilled(t *testing.T, s *site) {
	o, host := s.newOffice(t), s.hosts[len(s.hosts)-1]
	slow, plain, unit := o.daemon(host, "slow", "process", "-stubborn"), o.daemon(host, "plain", "process"), o.daemon(host, "unit", "systemd")
	slow.spec = "  stop: {gracePeriod: 3s}\n"
	all := []*daemon{slow, plain, unit}
	for _, d := range all {
		d.declare()
	}
	run := o.keep()
	first := map[*daemon]int{}
	for _, d := range all {
		first[d] = d.becomesWhatIsDeclared(0)
	}
	slow.change(1)
	slow.isAsked()
	run.kill()
	eventually(t, "the agent has finished its step, and ended", func() bool { return len(processes(o, host, isAgent)) == 0 })
	if c := slow.copies(); len(c) > 0 {
		t.Errorf("the agent ended, and left its step undone: %v", c)
	}
	for _, d := range []*daemon{plain, unit} {
		if c := d.copies(); len(c) != 1 || c[0].PID != first[d] {
			t.Errorf("%s, process %d, didn't outlive the agent: %v", d.name, first[d], c)
		}
	}

	run = o.keep()
	slow.becomesWhatIsDeclared(first[slow])
	run.says("leaves the daemons running")
	run.interrupt()
	o.ok("apply", "--wait", "-f", o.manifests()).said("daemon/"+slow.name+" unchanged", "daemon/"+plain.name+" unchanged", "daemon/"+unit.name+" unchanged")
	slow.isOnce(2)
	plain.isOnce(1)
	unit.isOnce(1)
}
