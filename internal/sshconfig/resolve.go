package sshconfig

import (
	"errors"
	"fmt"
	"slices"
	"strings"
)

// resolution is the reading of a Config for one host.
type resolution struct {
	query   Query
	context Context
	s       Settings
	// first is where the first line stood that counted, by what the setting is remembered by.
	first map[string]Place
	// host is what is taken for HostName, in the last pass the result of the first.
	host  string
	final bool
	again bool // a second pass is asked for

	ignoreUnknown string
}

// scope says whether the lines that come now are about the host, and whether they are by its Host alone, without the names of Also.
type scope struct{ active, byHost bool }

// Resolve returns what the configuration comes to for a host. It is pure, and may be called by many at once. An error is about a setting that can't be expanded.
func (c *Config) Resolve(q Query, ctx Context) (Settings, error) {
	s, err := c.read(q, ctx)
	if err != nil {
		return s, fmt.Errorf("resolve %s in ssh's configuration: %w", q.Host, err)
	}
	if err := s.expand(q, ctx); err != nil {
		return s, fmt.Errorf("resolve %s in ssh's configuration: %w", q.Host, err)
	}
	return s, nil
}

// read returns the settings with files as they are written.
func (c *Config) read(q Query, ctx Context) (Settings, error) {
	r := resolution{query: q, context: ctx, first: map[string]Place{}, host: q.Host}
	r.s = Settings{User: q.User, Port: q.Port}
	if q.Host == "" {
		return r.s, errors.New("the host has no name")
	}
	r.pass(c)
	if r.s.HostName != "" {
		host, err := percent(r.s.HostName, map[byte]string{'h': q.Host})
		if err != nil {
			return r.s, fmt.Errorf("HostName %w", err)
		}
		r.host = host
	}
	r.host = canonical(r.host)
	if r.again {
		r.final, r.s.HostName = true, r.host
		r.pass(c)
	}
	r.s.HostName, r.s.From = r.host, r.first
	r.s.setDefaults(ctx)
	return r.s, nil
}

func (r *resolution) pass(c *Config) {
	for _, f := range c.files {
		r.file(f, scope{true, true}, false)
	}
}

// file goes through a file. A file that an idle block includes is gone through, too, because a "Match final" in it counts.
func (r *resolution) file(f file, now scope, idle bool) {
	for _, l := range f.lines {
		switch l.kind {
		case hostLine:
			now = scope{r.names().hostLine(l.args), r.names()[:1].hostLine(l.args)}
		case matchLine:
			now = r.match(l, idle)
		case includeLine:
			for _, included := range l.included {
				r.file(included, now, idle || !now.active)
			}
		case setting:
			if now.active {
				r.set(l, now)
			}
		case unhonoured:
			if now.active {
				r.leave(l)
			}
		}
		if idle {
			now = scope{}
		}
	}
}

// names are what Host lines compare.
func (r *resolution) names() names {
	host := r.query.Host
	if r.final {
		host = r.host
	}
	return append(names{host}, r.query.Also...)
}

func (r *resolution) seen(key string) bool {
	_, ok := r.first[key]
	return ok
}

func (r *resolution) set(l line, now scope) {
	taken := r.seen(l.known.key)
	switch {
	case l.set == nil, taken && !l.known.many:
		return
	case l.known.key == "hostname" && (!now.byHost || r.final), l.known.key == "user" && r.query.User != "", l.known.key == "port" && r.query.Port != 0:
		return
	case l.known.key == "proxyjump" && r.seen("proxycommand"), l.known.key == "proxycommand" && len(r.s.ProxyJump) > 0:
		return
	}
	l.set(&r.s)
	if !taken {
		r.first[l.known.key] = l.place
	}
	if l.known.key == "proxycommand" && r.s.ProxyCommand != "" {
		r.s.Notes = append(r.s.Notes, Note{Place: l.place, Word: l.word, Why: "isn't run" + insteadOf(r.s.ProxyCommand)})
	}
}

// insteadOf says how a ProxyCommand can be written as a ProxyJump, where it can.
func insteadOf(command string) string {
	words := strings.Fields(command)
	words = slices.DeleteFunc(words, func(w string) bool { return w == "-q" })
	if len(words) == 4 && words[0] == "ssh" {
		for i, host := range map[int]string{1: words[3], 2: words[1]} {
			if words[i] == "-W" && (words[i+1] == "%h:%p" || words[i+1] == "[%h]:%p") && !strings.HasPrefix(host, "-") {
				return ": write ProxyJump " + host
			}
		}
	}
	return ": the way there has to be a ProxyJump"
}

// leave notes a line that isn't honoured, where it is the first of its word.
func (r *resolution) leave(l line) {
	name := strings.ToLower(l.word)
	if r.seen(name) {
		return
	}
	r.first[name] = l.place
	if n, ok := l.noteOn(r.ignoreUnknown); ok {
		r.s.Notes = append(r.s.Notes, n)
	}
	switch {
	case name == "ignoreunknown" && len(l.args) > 0:
		r.ignoreUnknown = l.args[0]
	case name == "canonicalizehostname" && len(l.args) > 0 && !slices.Contains([]string{"no", "false"}, strings.ToLower(l.args[0])):
		r.again = r.again || !r.final
	}
}

// match decides on a Match line. What can't be decided counts as no match, whatever its sign, and is noted where it is what decides.
func (r *resolution) match(l line, idle bool) scope {
	all := r.names()
	now, undecided := scope{true, true}, ""
	for _, c := range l.criteria {
		holds := scope{}
		switch c.name {
		case "all":
			holds = scope{true, true}
		case "canonical", "final":
			r.again = r.again || c.name == "final" && !r.final
			holds = scope{r.final, r.final}
		case "host":
			all[0] = r.hostNow()
			holds = scope{all.lower().listed(strings.ToLower(c.arg)), all[:1].lower().listed(strings.ToLower(c.arg))}
		case "originalhost":
			all[0] = r.query.Host
			holds = scope{all.lower().listed(strings.ToLower(c.arg)), all[:1].lower().listed(strings.ToLower(c.arg))}
		case "user":
			ok := matchList(r.user(), c.arg) > 0
			holds = scope{ok, ok}
		case "localuser":
			ok := matchList(r.context.User, c.arg) > 0
			holds = scope{ok, ok}
		default:
			undecided = c.name
			continue
		}
		now = scope{now.active && holds.active != c.negated, now.byHost && holds.byHost != c.negated}
	}
	if undecided == "" {
		return now
	}
	if now.active && !idle {
		r.undecided(l, undecided)
	}
	return scope{}
}

// hostNow is the host as far as it is known.
func (r *resolution) hostNow() string {
	if r.final || r.s.HostName == "" {
		return r.host
	}
	if host, err := percent(r.s.HostName, map[byte]string{'h': r.query.Host}); err == nil {
		return host
	}
	return r.s.HostName
}

func (r *resolution) user() string {
	if r.s.User != "" {
		return r.s.User
	}
	return r.context.User
}

func (r *resolution) undecided(l line, criterion string) {
	n := Note{Place: l.place, Word: l.word + " " + criterion, Why: "isn't understood: its block doesn't apply"}
	if criterion == "exec" {
		n.Why = "isn't run: its block doesn't apply"
	}
	if !slices.Contains(r.s.Notes, n) {
		r.s.Notes = append(r.s.Notes, n)
	}
}
