package spec

import (
	"fmt"
	"slices"
	"strconv"
	"strings"
)

// Placement is one host, and what shall run on it.
type Placement struct {
	// Host is what the manifests call it: the name of a Host, or what spec.host says. Empty: this machine.
	Host string
	// Declared is the host's document, also where Host has another user or port before or behind its name; nil where there is none.
	Declared *HostManifest
	// Daemons are copies of the manifests, whose spec.host is Host, whose hostSelector is gone, and in which $(HOST_...) is expanded.
	Daemons []Manifest
}

// Place finds out on which hosts daemons run, and makes a copy of a manifest for each host that it runs on. isLocal says whether a host, by the name of
// its document or as spec.host has it, is this machine; those all come to one placement. This machine comes first, then the declared hosts in
// their order, then the others in that of the daemons. Hosts on which nothing runs are left out. It does no I/O and changes nothing that it is given.
//
// In args, values of env and URLs (health.url, health.tcp, stop.url, reload.url) $(HOST_NAME) is replaced by what manifests call the host, $(HOST_ADDRESS) by its
// address and $(HOST_LABEL_x) by its label x. $$(HOST_NAME) stands for the text $(HOST_NAME). Nothing else is expanded.
//
// The error is Problems with everything that is wrong: a selector that chooses nothing, an unknown $(HOST_...), a name, a file or a host that is claimed twice,
// a dependency on another host's daemon. There are no placements then.
func Place(daemons []Manifest, hosts []HostManifest, isLocal func(string) bool) ([]Placement, error) {
	p := placer{isLocal: isLocal, hosts: hosts, byName: make(map[string]*HostManifest, len(hosts)), at: map[string]*Placement{}, local: map[string]bool{}}
	for i := range hosts {
		p.byName[hosts[i].Metadata.Name] = &hosts[i]
	}
	for i := range daemons {
		p.place(&daemons[i])
	}
	out := p.inOrder()
	p.check(daemons, out)
	p.problems = p.problems.inOrder(filesOf(daemons))
	if err := p.problems.err(); err != nil {
		return nil, err
	}
	return out, nil
}

// placer is one Place.
type placer struct {
	isLocal  func(string) bool
	hosts    []HostManifest
	byName   map[string]*HostManifest
	local    map[string]bool // what isLocal said
	at       map[string]*Placement
	others   []string // keys of at that are no document's name, in their order
	problems Problems
}

// place puts one daemon where it belongs.
func (p *placer) place(m *Manifest) {
	sel := m.Spec.HostSelector
	if sel == nil {
		p.put(m, m.Spec.Host, p.declared(m.Spec.Host))
		return
	}
	found := false
	for i := range p.hosts {
		if h := &p.hosts[i]; sel.matches(h.Metadata.Labels) {
			found = true
			p.put(m, h.Metadata.Name, h)
		}
	}
	if !found {
		p.problems = m.complain(p.problems, "spec.hostSelector", "this chooses none of the %s", count(len(p.hosts), "declared host"))
	}
}

// declared is the document of a host that spec.host names, nil where there is none.
func (p *placer) declared(host string) *HostManifest {
	if h := p.byName[host]; h != nil || host == "" {
		return h
	}
	w, _ := parseHostWord(host)
	return p.byName[w.address]
}

// matches says whether labels have all that are asked for.
func (s *HostSelector) matches(labels map[string]string) bool {
	for key, value := range s.MatchLabels {
		if has, there := labels[key]; !there || has != value {
			return false
		}
	}
	return true
}

// put puts a copy of a daemon on a host.
func (p *placer) put(m *Manifest, host string, declared *HostManifest) {
	key := host
	if p.isHere(host) {
		key = ""
	}
	at := p.at[key]
	if at == nil {
		at = &Placement{Host: key}
		p.at[key] = at
		if key != "" && p.byName[key] == nil {
			p.others = append(p.others, key)
		}
	}
	if at.Declared == nil {
		at.Declared = declared
	}
	c, ps := m.on(factsOf(host, declared))
	c.Spec.Host, c.Spec.HostSelector = key, nil
	at.Daemons = append(at.Daemons, c)
	p.problems = append(p.problems, ps...)
}

func (p *placer) isHere(host string) bool {
	if host == "" {
		return true
	}
	here, known := p.local[host]
	if !known {
		here = isLoopback(host) && p.byName[host] == nil || p.isLocal != nil && p.isLocal(host)
		p.local[host] = here
	}
	return here
}

// isLoopback says whether spec.host is one of those names that mean this machine anywhere.
func isLoopback(host string) bool {
	return slices.Contains([]string{"localhost", "127.0.0.1", "::1"}, strings.ToLower(host))
}

func (p *placer) inOrder() []Placement {
	keys := []string{""}
	for i := range p.hosts {
		keys = append(keys, p.hosts[i].Metadata.Name)
	}
	var out []Placement
	for _, key := range append(keys, p.others...) {
		if at := p.at[key]; at != nil {
			out = append(out, *at)
			delete(p.at, key)
		}
	}
	return out
}

// check finds what is wrong between the daemons of one host, and between hosts.
func (p *placer) check(daemons []Manifest, all []Placement) {
	declared := make(map[string]bool, len(daemons))
	for i := range daemons {
		declared[daemons[i].Metadata.Name] = true
	}
	reached := map[string]string{}
	for _, at := range all {
		p.problems = append(p.problems, checkDaemons(at.Daemons)...)
		p.problems = append(p.problems, at.strayDependencies(declared)...)
		if at.Host == "" {
			continue
		}
		way := wayTo(at.Host, at.Declared)
		if other, twice := reached[way]; twice {
			m := &at.Daemons[0]
			p.problems = m.complain(p.problems, "spec.host", "%s and %s are one host, and each would prune what is the other's: name it in one way", other, at.Host)
		}
		reached[way] = at.Host
	}
}

// strayDependencies finds daemons that wait for one which is declared for other hosts only. One that isn't declared at all may be there already.
func (p *Placement) strayDependencies(declared map[string]bool) Problems {
	here := make(map[string]bool, len(p.Daemons))
	for i := range p.Daemons {
		here[p.Daemons[i].Metadata.Name] = true
	}
	var ps Problems
	for i := range p.Daemons {
		m := &p.Daemons[i]
		for j, d := range m.Spec.DependsOn {
			if declared[d.Name] && !here[d.Name] {
				ps = m.complain(ps, fmt.Sprintf("spec.dependsOn[%d].name", j), "%s is declared, but not for %s, and a daemon waits for those of its own host only", d.Name, hostName(p.Host))
			}
		}
	}
	return ps
}

// hostName is a host as messages call it.
func hostName(host string) string {
	if host == "" {
		return "this machine"
	}
	return "host " + host
}

// wayTo is the same for two hosts that are reached in the same way, and so are one. name is that of the document, or what spec.host says.
func wayTo(name string, declared *HostManifest) string {
	w, _ := parseHostWord(name)
	var s HostSpec
	if declared != nil {
		s, w.address = declared.Spec, declared.address()
	}
	if w.user == "" {
		w.user = s.User
	}
	if w.port == "" && s.Port != 0 {
		w.port = strconv.Itoa(s.Port)
	}
	if w.port == "22" {
		w.port = "" // where ssh_config(5) says nothing else
	}
	return strings.Join([]string{strings.ToLower(w.address), w.port, w.user, s.ProxyJump, strconv.FormatBool(s.Sudo)}, "\x00")
}

// address is what the host is reached by.
func (m *HostManifest) address() string {
	if m.Spec.Address != "" {
		return m.Spec.Address
	}
	return m.Metadata.Name
}

func filesOf(ms []Manifest) []string {
	files := make([]string, len(ms))
	for i := range ms {
		files[i] = ms[i].File
	}
	return slices.Compact(files)
}

// count is a number of things, for people.
func count(n int, thing string) string {
	if n == 1 {
		return "1 " + thing
	}
	return fmt.Sprintf("%d %ss", n, thing)
}
