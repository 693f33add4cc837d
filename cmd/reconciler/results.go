package main

import (
	"bytes"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"reconciler.dev/reconciler/pkg/drivers"
	"reconciler.dev/reconciler/pkg/reconcile"
	"reconciler.dev/reconciler/pkg/spec"
)

// done is what became of the daemons of one host, or would become of them.
type done struct {
	host  string // empty for this machine
	items []reconcile.Item
	err   error // what the engine returned; where it is nil, as after a review, the items have theirs
	lost  bool  // err is why the host can't be reached, and nothing is known of the items
	took  time.Duration
}

// beyondReach is what becomes of daemons on a host that can't be reached: nothing.
func beyondReach(s *site, names []string) done {
	d := done{host: s.at, err: s.lost, lost: true, took: s.took}
	for _, n := range names {
		d.items = append(d.items, reconcile.Item{
			Name: n, Action: reconcile.Frozen, Reason: "the host is unreachable, and so it isn't known how it is", Observed: spec.Observed{Name: n, State: spec.Unknown},
		})
	}
	return d
}

// result is what becomes, became or would become of one daemon, for programs. Its fields are a promise, as list's are.
type result struct {
	Name string `json:"name"`
	// Host is where; omitted for this machine.
	Host string `json:"host,omitempty"`
	// Action is the word that is printed for people: created, configured, unchanged, ...
	Action reconcile.Action `json:"action"`
	Reason string           `json:"reason,omitempty"`
	Error  string           `json:"error,omitempty"`
	// DryRun is client or server where nothing was changed.
	DryRun  string        `json:"dryRun,omitempty"`
	Steps   []spec.Verb   `json:"steps,omitempty"`
	Changes []spec.Change `json:"changes,omitempty"`
	Drift   []spec.Drift  `json:"drift,omitempty"`
	Lost    []spec.Loss   `json:"lost,omitempty"`
	// Driver is what runs it, or shall; Fallback says why that isn't a better one, and Move why it is another one than before.
	Driver   spec.DriverKind        `json:"driver,omitempty"`
	Fallback []*drivers.Unavailable `json:"fallback,omitempty"`
	Move     *reconcile.Move        `json:"move,omitempty"`
}

func makeResult(host string, it reconcile.Item, dryRun string) result {
	r := result{
		Name: it.Name, Host: host, Action: it.Action, Reason: it.Reason, DryRun: dryRun, Steps: verbs(it.Steps), Changes: it.Changes, Drift: it.Drift, Lost: it.Lost,
		Driver: it.Driver, Fallback: it.Fallback, Move: it.Move,
	}
	if it.Err != nil {
		r.Error = it.Err.Error()
	}
	return r
}

func verbs(steps []spec.Step) []spec.Verb {
	var vs []spec.Verb
	for _, s := range steps {
		vs = append(vs, s.Verb)
	}
	return vs
}

// resultFlag adds the -o of verbs that change daemons.
func resultFlag(cmd *cobra.Command) *enum {
	return enumFlag(cmd, "output", "o", "output format", "", "json", "yaml", "name")
}

// printResults writes what became of items: a line each as kubectl has it, or a List for programs.
func (c *cli) printResults(format string, all []done, dryRun string) error {
	if format == "json" || format == "yaml" {
		var rs []result
		for _, d := range all {
			for _, it := range d.items {
				rs = append(rs, makeResult(d.host, it, dryRun))
			}
		}
		return c.encode(format, listOf(rs))
	}
	var b bytes.Buffer
	for _, d := range all {
		for _, it := range d.items {
			b.WriteString(hostPrefix(d.host) + "daemon/" + clean(it.Name))
			if format == "" {
				b.WriteString(" " + string(it.Action))
				if dryRun != "" {
					b.WriteString(" (dry run)")
				}
				if why := said(it); why != "" {
					b.WriteString(": " + clean(why))
				}
			}
			b.WriteByte('\n')
		}
	}
	_, err := c.out.Write(b.Bytes())
	return err
}

// said is the reason that a result line carries: where it isn't plain why nothing was done. Errors are told on stderr.
func said(it reconcile.Item) string {
	switch it.Action {
	case reconcile.Waiting, reconcile.Paused, reconcile.Frozen, reconcile.Skipped:
		return it.Reason
	}
	return ""
}

// noteFallback tells, a line for each driver that the host lacks, why daemons that are about to be started don't run under it.
func (c *cli) noteFallback(d done) {
	told := map[spec.DriverKind]bool{}
	for _, it := range d.items {
		if !hasVerb(it.Steps, spec.VerbStart) {
			continue
		}
		for _, u := range it.Fallback {
			if !told[u.Kind] {
				told[u.Kind] = true
				c.note("%sNote: running under %s, not %s: %s", hostPrefix(d.host), it.Driver, u.Kind, u.Advice())
			}
		}
	}
}

// noteLost tells what the host can't enforce of what the items ask for.
func (c *cli) noteLost(d done) {
	for _, it := range d.items {
		if len(it.Steps) == 0 || it.Want == nil {
			continue
		}
		for _, l := range it.Lost {
			c.note("%sdaemon/%s: %s is not enforced here: %s", hostPrefix(d.host), it.Name, l.Field, l.Reason)
		}
	}
}

// watched says whether a person follows what is under way. Into a file or a pipe nothing is written: the results say it all.
func (c *cli) watched() bool { return c.verbose > 0 || terminal(c.err) }

// progress tells a person who watches what is under way on a host.
func (c *cli) progress(at string) func(reconcile.Progress) {
	if !c.watched() {
		return nil
	}
	return func(p reconcile.Progress) {
		if !isResult(p) {
			c.note("%s%s", hostPrefix(at), progressLine(p))
		}
	}
}

// isResult says whether a progress is the last word on a daemon, which the results say too.
func isResult(p reconcile.Progress) bool {
	switch reconcile.Action(p.Phase) {
	case reconcile.Unchanged, reconcile.Created, reconcile.Configured, reconcile.Healed, reconcile.Restarted, reconcile.Started, reconcile.Stopped,
		reconcile.Paused, reconcile.Pruned, reconcile.Deleted, reconcile.RolledBack, reconcile.Installed, reconcile.Uninstalled, reconcile.RolloutPaused, reconcile.RolloutResumed, reconcile.Refused, reconcile.Failed:
		return true
	}
	return false
}

func progressLine(p reconcile.Progress) string {
	line := "daemon/" + p.Name + ": " + p.Phase
	if p.Name == "" {
		line = p.Phase
	}
	if p.Message != "" {
		line += ": " + p.Message
	}
	return strings.ReplaceAll(cleanLines(strings.TrimRight(line, "\n")), "\n", "\n  ")
}
