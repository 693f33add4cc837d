package spec

import (
	"fmt"
	"maps"
	"slices"
	"strings"
)

// checkSet finds what is wrong between the documents of a set: hosts that are declared twice, and what daemons of one place can't all have. Place finds the rest,
// where hosts are known.
func checkSet(docs Documents) Problems {
	ps := checkHosts(docs.Hosts)
	places, order := map[string][]Manifest{}, []string(nil)
	for _, m := range docs.Daemons {
		at := m.Spec.placeKey()
		if places[at] == nil {
			order = append(order, at)
		}
		places[at] = append(places[at], m)
	}
	for _, at := range order {
		ps = append(ps, checkDaemons(places[at])...)
	}
	return ps
}

// placeKey is the same for daemons that surely run on the same hosts.
func (s *Spec) placeKey() string {
	if s.HostSelector == nil {
		if isLoopback(s.Host) {
			return ""
		}
		return s.Host
	}
	var b strings.Builder
	for _, key := range slices.Sorted(maps.Keys(s.HostSelector.MatchLabels)) {
		fmt.Fprintf(&b, "\x00%s=%s", key, s.HostSelector.MatchLabels[key])
	}
	return "\x00" + b.String()
}

// checkDaemons finds what is wrong between the daemons of one host: names and files that two of them claim, and cycles of dependencies.
func checkDaemons(ms []Manifest) Problems {
	ps := checkClaims(ms)
	return append(ps, checkCycles(ms)...)
}

// checkHosts finds names that two hosts have, and hosts that have two names.
func checkHosts(hosts []HostManifest) Problems {
	var ps Problems
	names, ways := make(map[string]*HostManifest, len(hosts)), make(map[string]*HostManifest, len(hosts))
	for i := range hosts {
		h := &hosts[i]
		name, way := h.Metadata.Name, wayTo(h.Metadata.Name, h)
		if name == "" {
			continue
		}
		if first := names[name]; first != nil {
			ps = h.origin().complain(ps, "metadata.name", "%s is declared twice, first in %s", name, first.Source())
			continue
		}
		names[name] = h
		if first := ways[way]; first != nil {
			ps = h.origin().complain(ps, "spec.address", "this is host %s, in %s: each would prune what is the other's", first.Metadata.Name, first.Source())
			continue
		}
		ways[way] = h
	}
	return ps
}

// checkClaims finds what two manifests want for themselves.
func checkClaims(ms []Manifest) Problems {
	var ps Problems
	names, paths := make(map[string]*Manifest, len(ms)), map[string]*Manifest{}
	claim := func(path, field string, m *Manifest) {
		if path == "" {
			return
		}
		if first := paths[path]; first != nil && first.Metadata.Name != m.Metadata.Name {
			ps = m.complain(ps, field, "%s is written by daemon %s too, in %s", path, first.Metadata.Name, first.Source())
			return
		}
		paths[path] = m
	}
	for i := range ms {
		m := &ms[i]
		if name := m.Metadata.Name; name != "" {
			if first := names[name]; first != nil {
				ps = m.complain(ps, "metadata.name", "%s is declared twice, first in %s", name, first.Source())
				continue
			}
			names[name] = m
		}
		claim(m.Spec.Log.Path, "spec.log.path", m)
		for j, f := range m.Spec.Files {
			claim(f.Path, fmt.Sprintf("spec.files[%d].path", j), m)
		}
	}
	return ps
}

// checkCycles finds daemons that wait for themselves. A dependency on a name that is not among ms can't be part of a cycle here.
func checkCycles(ms []Manifest) Problems {
	c := cycles{byName: make(map[string]*Manifest, len(ms)), done: make(map[string]bool, len(ms))}
	for i := range ms {
		if len(ms[i].Spec.DependsOn) > 0 && ms[i].Metadata.Name != "" && c.byName[ms[i].Metadata.Name] == nil {
			c.byName[ms[i].Metadata.Name] = &ms[i]
		}
	}
	for i := range ms {
		c.visit(ms[i].Metadata.Name)
	}
	return c.problems
}

// cycles is one depth-first search.
type cycles struct {
	byName   map[string]*Manifest
	done     map[string]bool
	trail    []string
	problems Problems
}

func (c *cycles) visit(name string) {
	m := c.byName[name]
	if m == nil || c.done[name] {
		return
	}
	c.trail = append(c.trail, name)
	for i, d := range m.Spec.DependsOn {
		if from := lastIndex(c.trail, d.Name); from >= 0 {
			loop := append(append([]string{}, c.trail[from:]...), d.Name)
			c.problems = m.complain(c.problems, fmt.Sprintf("spec.dependsOn[%d].name", i), "this is a cycle: %s", strings.Join(loop, " -> "))
			continue
		}
		c.visit(d.Name)
	}
	c.trail = c.trail[:len(c.trail)-1]
	c.done[name] = true
}

func lastIndex(names []string, name string) int {
	for i := len(names) - 1; i >= 0; i-- {
		if names[i] == name {
			return i
		}
	}
	return -1
}
