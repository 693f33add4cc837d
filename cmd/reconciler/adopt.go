package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"path"
	"strconv"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"reconciler.dev/reconciler/internal/plaintext"
	"reconciler.dev/reconciler/pkg/programs"
	"reconciler.dev/reconciler/pkg/reconcile"
	"reconciler.dev/reconciler/pkg/spec"
)

type adoptFlags struct {
	inputs
	hostFlags
	from        string
	set         *string
	dryRun, out *enum
	yes, force  bool
}

func (c *cli) adoptCmd() *cobra.Command {
	cmd := &cobra.Command{
		Use: "adopt NAME -f FILE --from (unit=UNIT | pid=PID | pidfile=PATH)", Short: "Take over a daemon that runs already, without restarting it", Args: cobra.ExactArgs(1),
		Long: `Take over a daemon that runs already: it becomes the daemon NAME of the manifests, and its process lives on, the same one, as it was started.

First it is shown what the manifest says otherwise than what runs, and you are asked. Limits are changed at once. What the kernel can't change in a process that lives, as its arguments, is pending: it
counts as drift, which diff shows, and is made so by the next start: by restart, or by the next apply.

A unit of systemd's keeps its name, so NAME is that of the unit: its file is replaced by ours, which systemd reads without touching the process. With the drivers process and cgroup it is a process and
all that come from it; those of a unit, which systemd would go on to restart, are refused. What it wrote stays where it is, and so does what it writes until its next start.`,
		Example: `  reconciler adopt nginx -f nginx.yaml --from unit=nginx.service --dry-run=server
  reconciler adopt worker -f worker.yaml --from pidfile=/run/worker.pid
  reconciler adopt worker -f fleet/ --host gpu-1 --from pid=4242 --yes`,
	}
	var a adoptFlags
	f := cmd.Flags()
	c.inputFlags(cmd, &a.inputs)
	c.limitFlags(cmd, &a.hostFlags)
	a.set = setFlag(cmd)
	a.dryRun, a.out = dryRunFlag(cmd), resultFlag(cmd)
	f.StringVar(&a.from, "from", "", "what runs: unit=UNIT, pid=PID or pidfile=PATH")
	f.BoolVar(&a.yes, "yes", false, "take it over without asking")
	f.BoolVar(&a.force, "force", false, "take it over though a live run keeps the owner set")
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		from, err := candidateOf(a.from)
		if err != nil {
			return err
		}
		if err := a.hostFlags.check(); err != nil {
			return err
		}
		a.names = daemonNames(args)
		return c.adopt(cmd.Context(), &a, from)
	}
	return cmd
}

// candidateOf reads the value of --from.
func candidateOf(from string) (spec.Candidate, error) {
	kind, value, ok := strings.Cut(from, "=")
	if !ok || value == "" {
		return spec.Candidate{}, usagef("say what is to be taken over: --from unit=UNIT, --from pid=PID or --from pidfile=PATH")
	}
	switch kind {
	case "unit":
		return spec.Candidate{Unit: value}, nil
	case "pidfile":
		if !path.IsAbs(value) {
			return spec.Candidate{}, usagef("--from pidfile=%s: write an absolute path, which is one of the daemon's host", value)
		}
		return spec.Candidate{PIDFile: value}, nil
	case "pid":
		pid, err := strconv.Atoi(value)
		if err != nil || pid <= 0 {
			return spec.Candidate{}, usagef("--from pid=%s: this is no process number", value)
		}
		return spec.Candidate{PID: pid}, nil
	}
	return spec.Candidate{}, usagef("--from %s: write unit=UNIT, pid=PID or pidfile=PATH", from)
}

func (c *cli) adopt(ctx context.Context, a *adoptFlags, from spec.Candidate) error {
	d, err := c.declared(a.inputs, a.hostFlags, false)
	if err != nil {
		return err
	}
	if len(d.places) != 1 {
		return usagef("daemon %s is declared for %s; say with --host on which of them it is to be taken over", a.names[0], plural(len(d.places), "host"))
	}
	round, err := c.round(programs.Make)
	if err != nil {
		return err
	}
	if a.dryRun.value != dryNone {
		if round, err = c.round(programs.Look); err != nil {
			return err
		}
	}
	wants, err := c.resolveAll(ctx, d, round)
	if err != nil {
		return err
	}
	if a.dryRun.value == dryClient {
		return c.printResults(a.out.value, []done{{host: d.at()[0], items: []reconcile.Item{{Name: wants[0][0].Name, Want: wants[0][0], Action: "valid"}}}}, dryClient)
	}
	sites, err := c.openSites(ctx, d.inv, d.at(), 1, c.acting(*a.set, a.force))
	if err != nil {
		return err
	}
	defer closeSites(sites)
	s := sites[0]
	if s.lost != nil {
		return s.lost
	}
	if d.places[0].Host != "" {
		if wants[0], err = c.resolve(ctx, d.places[0], s.session, round); err != nil {
			return err
		}
	}
	return c.adoptOn(ctx, s, a, wants[0][0], from)
}

// adoptOn shows what is to be taken over on a host, asks, and does it.
func (c *cli) adoptOn(ctx context.Context, s *site, a *adoptFlags, want *spec.Daemon, from spec.Candidate) error {
	if s.prepare != nil && a.dryRun.value == dryNone {
		if err := s.prepare(); err != nil {
			return err
		}
	}
	t, err := s.Inspect(ctx, want, from)
	if err != nil {
		return err
	}
	if a.out.value == "" && !t.Ours {
		if err := c.showTakeover(s, want, t); err != nil {
			return err
		}
	}
	if a.dryRun.value == dryServer {
		it := reconcile.Item{Name: want.Name, Want: want, Action: reconcile.Adopted, Driver: t.Driver, Drift: t.Pending, Lost: t.Lost}
		return c.printResults(a.out.value, []done{{host: s.at, items: []reconcile.Item{it}}}, dryServer)
	}
	if !t.Ours {
		if err := c.agree(ctx, a, want.Name); err != nil {
			return err
		}
	}
	it, err := s.Adopt(ctx, want, t)
	return errors.Join(c.printResults(a.out.value, []done{{host: s.at, items: []reconcile.Item{it}}}, ""), err)
}

// agree asks whether a daemon is to be taken over.
func (c *cli) agree(ctx context.Context, a *adoptFlags, name string) error {
	if a.yes {
		return nil
	}
	who := c.person()
	if who == nil {
		return &exit{exitRefused, fmt.Errorf("adopt daemon %s: nobody can be asked here; give --yes, or --dry-run=server to see what it comes to; nothing was changed", name)}
	}
	yes, err := who.confirm(ctx, "Take it over?")
	if err == nil && !yes {
		err = &exit{exitRefused, fmt.Errorf("adopt daemon %s: it was turned down; nothing was changed", name)}
	}
	return err
}

// commandLong is how much of a command a person is shown.
const commandLong = 300

// showTakeover shows what runs, and how the manifest differs from it.
func (c *cli) showTakeover(s *site, want *spec.Daemon, t *spec.Takeover) error {
	var b bytes.Buffer
	p := page{&b}
	p.field("Daemon", want.Name)
	p.field("Host", s.name())
	p.field("Driver", string(t.Driver))
	p.field("Unit", t.Candidate.Unit)
	p.field("PIDs", cellOf(t.PIDs, strconv.Itoa))
	p.field("Started", when(t.Since, time.Now()))
	var quoted []string
	for _, word := range t.Command {
		quoted = append(quoted, strconv.Quote(word))
	}
	p.field("Command", plaintext.Line(strings.Join(quoted, " "), commandLong))
	p.field("User", t.User)
	p.field("Directory", t.Dir)
	p.field("Cgroup", t.Cgroup)
	p.field("Output", t.Output)
	p.field("Env", firstNames(t.Env))
	header := []string{"FIELD", "WANT", "HAVE"}
	p.section("Changed now", header, driftRows(t.Now))
	p.section("Pending until its next start", header, driftRows(t.Pending))
	p.section("Lost", []string{"FIELD", "REASON"}, lossRows(t.Lost, &limits{}))
	for _, n := range t.Notes {
		p.field("Note", n)
	}
	if len(t.Pending) == 0 {
		p.field("Pending", "nothing: it runs as the manifest says")
	}
	_, err := c.out.Write(b.Bytes())
	return err
}

// firstNames are some of the names of variables.
func firstNames(all []string) string {
	const most = 12
	if len(all) > most {
		return fmt.Sprintf("%s and %d more", strings.Join(all[:most], " "), len(all)-most)
	}
	return strings.Join(all, " ")
}
