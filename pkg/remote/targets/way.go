package targets

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"reconciler.dev/reconciler/internal/plaintext"
	"reconciler.dev/reconciler/internal/sshconfig"
	"reconciler.dev/reconciler/pkg/remote/link"
)

// way is the search for the way to one host.
type way struct {
	resolver *Resolver
	config   *sshconfig.Config
	notes    []sshconfig.Note
}

// maxHops bounds a way, where each host has a new name for the next.
const maxHops = 16

// to finds the way to a host. before are those for whose sake it is sought, the first of them the one that was asked for.
func (w *way) to(hop sshconfig.Hop, before []link.Target) (Resolved, error) {
	found, through, err := w.last(hop)
	if err != nil {
		return found, err
	}
	hops, err := through()
	if err != nil {
		return found, err
	}
	before = append(slices.Clip(before), found.Target)
	if err := loop(before); err != nil {
		return found, err
	}
	for i, h := range hops {
		jump, err := w.jump(h, i == 0, before)
		if err != nil {
			return found, fmt.Errorf("by way of %s: %w", h, err)
		}
		found.Target.Jumps = append(found.Target.Jumps, jump...)
	}
	return found, loop(append(slices.Clone(found.Target.Jumps), found.Target))
}

// jump returns a host on the way, with those before it where it is the nearest: only that one is reached by a way of its own, as ssh has it.
func (w *way) jump(h sshconfig.Hop, nearest bool, before []link.Target) ([]link.Target, error) {
	if !nearest {
		found, _, err := w.last(h)
		return []link.Target{found.Target}, err
	}
	found, err := w.to(h, before)
	if err != nil {
		return nil, err
	}
	jumps := found.Target.Jumps
	found.Target.Jumps = nil
	return append(jumps, found.Target), nil
}

// loop finds a host that is there twice.
func loop(hosts []link.Target) error {
	if len(hosts) > maxHops {
		return fmt.Errorf("there are more than %d hosts on the way", maxHops)
	}
	for i, a := range hosts {
		for _, b := range hosts[:i] {
			if a.Address == b.Address && a.Port == b.Port && a.User == b.User {
				return fmt.Errorf("that goes in a circle, through %s@%s:%d twice; where a ProxyJump is for all hosts, write ProxyJump none for this one above it", a.User, a.Address, a.Port)
			}
		}
	}
	return nil
}

// last returns a host without the way to it, and what says through which hosts that goes.
func (w *way) last(hop sshconfig.Hop) (found Resolved, through func() ([]sshconfig.Hop, error), err error) {
	query := sshconfig.Query{Host: hop.Host, User: hop.User, Port: hop.Port}
	doc, declared := w.resolver.hosts[hop.Host]
	if declared {
		found.Declared, query.Host = doc.Name, doc.address()
		if query.Host != hop.Host {
			query.Also = []string{hop.Host}
		}
		query.User, query.Port = or(query.User, doc.User), or(query.Port, doc.Port)
	}
	s, err := w.config.Resolve(query, w.resolver.context)
	if err != nil {
		return found, nil, err
	}
	if s.RefuseConnection != "" {
		return found, nil, fmt.Errorf("%s: ssh's configuration refuses connections to it: %s", s.From["refuseconnection"], plaintext.Line(s.RefuseConnection, 200))
	}
	// Of a ProxyCommand something is said only where it is what counts, and there it is an error.
	w.note(slices.DeleteFunc(s.Notes, func(n sshconfig.Note) bool { return n.Place == s.From["proxycommand"] }))
	found.Target = w.target(hop.String(), s)
	return found, func() ([]sshconfig.Hop, error) { return hops(doc, s) }, w.declare(&found.Target, doc)
}

// hops are the hosts that the way to a host goes through.
func hops(doc Host, s sshconfig.Settings) ([]sshconfig.Hop, error) {
	switch {
	case doc.ProxyJump != "":
		return sshconfig.ParseHops(doc.ProxyJump)
	case s.ProxyCommand != "":
		return nil, fmt.Errorf("%s: ssh would run a ProxyCommand to get there (%s), and reconciler runs none: write a ProxyJump in its place, or proxyJump in a Host",
			s.From["proxycommand"], plaintext.Line(s.ProxyCommand, 100))
	}
	return s.ProxyJump, nil
}

// target is what ssh's configuration makes of a host, with the defaults of links.
func (w *way) target(name string, s sshconfig.Settings) link.Target {
	t := link.Target{
		Name: name, Address: s.HostName, Port: s.Port, User: s.User,
		IdentityFiles: s.IdentityFiles, CertificateFiles: s.CertificateFiles, IdentitiesOnly: s.IdentitiesOnly, IdentityAgent: s.IdentityAgent,
		KnownHostsFiles: slices.Concat(s.UserKnownHostsFiles, s.GlobalKnownHostsFiles), HostKeyAlias: s.HostKeyAlias, StrictHostKeyChecking: s.StrictHostKeyChecking,
		ConnectTimeout: or(s.ConnectTimeout, ConnectTimeout), AliveInterval: or(s.ServerAliveInterval, AliveInterval), AliveCountMax: or(s.ServerAliveCountMax, AliveCount),
	}
	if len(s.UserKnownHostsFiles) == 0 {
		t.KnownHostsFiles = append([]string{os.DevNull}, t.KnownHostsFiles...) // new keys are written to the first
	}
	w.neverOff(s, "ServerAliveInterval", s.ServerAliveInterval == 0)
	w.neverOff(s, "ServerAliveCountMax", s.ServerAliveCountMax == 0)
	return t
}

// neverOff notes a setting of 0 that would keep a dead link.
func (w *way) neverOff(s sshconfig.Settings, word string, off bool) {
	if place, set := s.From[strings.ToLower(word)]; set && off {
		w.note([]sshconfig.Note{{Place: place, Word: word + " 0", Why: "isn't honoured: a link that is dead is always noticed", Minor: true}})
	}
}

// declare puts what the host's document says in place of what ssh's configuration says.
func (w *way) declare(t *link.Target, doc Host) error {
	if doc.IdentityFile != "" {
		file, err := w.file(doc, doc.IdentityFile)
		if err != nil {
			return fmt.Errorf("identityFile %w", err)
		}
		t.IdentityFiles, t.IdentitiesOnly = []string{file}, true
	}
	if doc.KnownHosts != "" {
		file, err := w.file(doc, doc.KnownHosts)
		if err != nil {
			return fmt.Errorf("knownHosts %w", err)
		}
		t.KnownHostsFiles = []string{file}
	}
	t.HostKey = doc.HostKey
	return nil
}

// file is a file that a document names.
func (w *way) file(doc Host, name string) (string, error) {
	name, err := w.resolver.context.Tilde(name)
	switch {
	case err != nil || filepath.IsAbs(name):
		return name, err
	case !filepath.IsAbs(doc.Dir):
		return "", errors.New(name + ": it has to be absolute, or to begin with ~/")
	}
	return filepath.Join(doc.Dir, name), nil
}

func (w *way) note(notes []sshconfig.Note) {
	for _, n := range notes {
		if !slices.Contains(w.notes, n) {
			w.notes = append(w.notes, n)
		}
	}
}

func or[T comparable](v, otherwise T) T {
	var zero T
	if v == zero {
		return otherwise
	}
	return v
}
