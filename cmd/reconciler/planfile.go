package main

import (
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"reconciler.dev/reconciler/internal/atomicfile"
	"reconciler.dev/reconciler/pkg/reconcile"
	"reconciler.dev/reconciler/pkg/spec"
)

// savedPlan is what plan -o writes and apply --plan is bound to.
type savedPlan struct {
	APIVersion string        `json:"apiVersion"`
	Kind       string        `json:"kind"`
	Hosts      []string      `json:"hosts,omitempty"` // of those that the manifests name, the ones that it is for; omitted: all
	Set        string        `json:"set"`
	Force      bool          `json:"force,omitempty"`
	Files      []string      `json:"files"` // absolute, or - for stdin
	Recursive  bool          `json:"recursive,omitempty"`
	Selector   string        `json:"selector,omitempty"`
	Prune      bool          `json:"prune,omitempty"`
	PruneGuard int           `json:"pruneGuard,omitempty"`
	Items      []plannedItem `json:"items"`
}

// plannedItem is what was planned for one daemon, and against what.
type plannedItem struct {
	Host   string           `json:"host,omitempty"` // omitted for this machine
	Name   string           `json:"name"`
	Action reconcile.Action `json:"action"`
	Reason string           `json:"reason,omitempty"`
	Steps  []spec.Verb      `json:"steps,omitempty"`
	// Want is the digest of what is wanted, Applied the digest of what was applied, State and Instance are what was live.
	Want     string     `json:"want,omitempty"`
	Applied  string     `json:"applied,omitempty"`
	State    spec.State `json:"state"`
	Instance string     `json:"instance,omitempty"`
}

const planKind = "Plan"

func makePlan(p *planning, all []done) (*savedPlan, error) {
	s := &savedPlan{
		APIVersion: spec.APIVersion, Kind: planKind, Hosts: p.hosts, Set: *p.set, Force: p.force,
		Recursive: p.Recursive, Selector: p.Selector, Prune: p.prune, PruneGuard: p.guard, Items: plannedItems(all),
	}
	for _, f := range p.Files {
		if f != "-" {
			abs, err := filepath.Abs(f)
			if err != nil {
				return nil, fmt.Errorf("save the plan: %w", err)
			}
			f = abs
		}
		s.Files = append(s.Files, f)
	}
	return s, nil
}

func plannedItems(all []done) []plannedItem {
	var items []plannedItem
	for _, d := range all {
		for _, it := range d.items {
			items = append(items, planItemOf(d.host, it))
		}
	}
	return items
}

func planItemOf(host string, it reconcile.Item) plannedItem {
	p := plannedItem{Host: host, Name: it.Name, Action: it.Action, Reason: it.Reason, Steps: verbs(it.Steps), State: it.Observed.State}
	if it.Want != nil {
		p.Want = it.Want.Digest
	}
	if it.Observed.Stamp != nil {
		p.Applied = it.Observed.Stamp.Digest
	}
	if it.Observed.Instance != nil {
		p.Instance = it.Observed.Instance.ID
	}
	return p
}

// String is the daemon as results call it.
func (p plannedItem) String() string { return hostPrefix(p.Host) + "daemon/" + p.Name }

func (s *savedPlan) write(file string) error {
	b, err := json.MarshalIndent(s, "", "  ")
	if err != nil {
		return fmt.Errorf("save the plan: %w", err)
	}
	if err := atomicfile.Write(file, append(b, '\n'), 0o600, atomicfile.Durable); err != nil {
		return fmt.Errorf("save the plan: %w", err)
	}
	return nil
}

func readPlan(file string) (*savedPlan, error) {
	b, err := os.ReadFile(file)
	if err != nil {
		return nil, usagef("read the plan: %w", err)
	}
	var s savedPlan
	if err := json.Unmarshal(b, &s); err != nil {
		return nil, usagef("read the plan %s: %w; make a new one with reconciler plan -o", file, err)
	}
	if s.Kind != planKind || s.APIVersion != spec.APIVersion {
		return nil, usagef("read the plan %s: it is %s %s, not %s %s; make one with reconciler plan -o", file, s.APIVersion, s.Kind, spec.APIVersion, planKind)
	}
	return &s, nil
}

// fill sets the flags of an apply from the plan. Manifests may be named again, for stdin; what they say is compared anyway.
func (s *savedPlan) fill(p *planning) {
	if len(p.Files) == 0 {
		p.Files, p.Recursive = s.Files, s.Recursive
	}
	p.hosts = s.Hosts
	p.Selector, p.prune, p.guard, p.force = s.Selector, s.Prune, s.PruneGuard, s.Force
	*p.set = s.Set
}

// holds says whether what is planned now is still what was planned. The error lists what moved.
func (s *savedPlan) holds(all []done) error {
	var moved []string
	now := plannedItems(all)
	for _, was := range s.Items {
		i := slices.IndexFunc(now, func(n plannedItem) bool { return n.Host == was.Host && n.Name == was.Name })
		if i < 0 {
			moved = append(moved, fmt.Sprintf("%v: planned %s, and is now neither in the manifests nor to be pruned", was, was.Action))
			continue
		}
		if why := was.moved(now[i]); why != "" {
			moved = append(moved, fmt.Sprintf("%v: %s", was, why))
		}
		now = slices.Delete(now, i, i+1)
	}
	for _, n := range now {
		moved = append(moved, fmt.Sprintf("%v: not in the plan, and would now be %s", n, n.Action))
	}
	if moved == nil {
		return nil
	}
	return &exit{exitRefused, fmt.Errorf("apply the plan on %s: refused, nothing was done, because it no longer holds:\n  %s\nmake and review a new plan", whereOf(all), strings.Join(moved, "\n  "))}
}

func whereOf(all []done) string {
	hosts := make([]string, len(all))
	for i, d := range all {
		hosts[i] = hostWord(d.host)
	}
	return strings.Join(hosts, ", ")
}

// moved says what differs between what was planned and what would be planned now; "" for nothing.
func (was plannedItem) moved(now plannedItem) string {
	switch {
	case was.Want != now.Want:
		return "its manifest, or a secret or file that it names, changed"
	case was.Applied != now.Applied:
		return "something else was applied to it"
	case was.State != now.State:
		return fmt.Sprintf("it was %s and is %s", was.State, now.State)
	case was.Instance != now.Instance:
		return "it was restarted"
	case was.Action != now.Action || !slices.Equal(was.Steps, now.Steps):
		return fmt.Sprintf("planned %s, and would now be %s: %s", was.Action, now.Action, now.Reason)
	}
	return ""
}
