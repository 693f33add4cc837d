package spec

import (
	"fmt"
	"maps"
	"net"
	"net/url"
	"path"
	"regexp"
	"slices"
	"strings"
	"time"
)

// program checks what says which program runs and how it comes to be.
func (v *daemonValidator) program() {
	s := &v.m.Spec
	if s.Binary == "" && s.Install == nil {
		v.bad("spec.binary", "this is required, where there is neither build nor install")
	}
	if s.Build != nil {
		v.build(s.Build)
	}
	if s.Install != nil {
		v.install(s)
	}
	if u := s.Update; u != nil {
		v.atLeastTime("spec.update.readyTimeout", u.ReadyTimeout, Duration(time.Second))
	}
	v.listen(s.Listen)
	if s.Slots() {
		return
	}
	for _, u := range s.urls() {
		if strings.Contains(u.text, SlotReference) {
			v.bad(u.field, "%s is only known where update.strategy is StartFirst", SlotReference)
		}
	}
}

// fieldText is a text and the path of its field.
type fieldText struct{ field, text string }

// urls are the URLs and addresses of a spec in which $(SLOT) may stand.
func (s *Spec) urls() []fieldText {
	all := []fieldText{{"spec.stop.url", s.Stop.URL}}
	if h := s.Health; h != nil {
		all = append(all, fieldText{"spec.health.url", h.URL}, fieldText{"spec.health.tcp", h.TCP})
	}
	if r := s.Reload; r != nil {
		all = append(all, fieldText{"spec.reload.url", r.URL})
		if r.Expect != nil {
			all = append(all, fieldText{"spec.reload.expect.url", r.Expect.URL})
		}
	}
	return all
}

func (v *daemonValidator) build(b *Build) {
	if len(b.Command) > 0 && b.Command[0] == "" {
		v.bad("spec.build.command[0]", "this is the program that builds, and it is empty")
	}
	for i, in := range b.Inputs {
		v.below(fmt.Sprintf("spec.build.inputs[%d]", i), in)
	}
	v.below("spec.build.output", b.Output)
	for _, name := range slices.Sorted(maps.Keys(b.Env)) {
		if name == "" || strings.Contains(name, "=") {
			v.bad("spec.build.env["+name+"]", "%q can't be a variable: its name is not empty and has no '='", name)
		}
	}
	v.atLeastTime("spec.build.timeout", b.Timeout, Duration(time.Second))
}

// below checks a path that must stay below a folder.
func (v *daemonValidator) below(field, p string) {
	switch {
	case p == "":
	case path.IsAbs(p):
		v.bad(field, "%q is absolute: it is a path below build.dir", p)
	case path.Clean(p) == ".." || strings.HasPrefix(path.Clean(p), "../"):
		v.bad(field, "%q leaves build.dir", p)
	}
}

var isSHA256 = regexp.MustCompile(`^[0-9a-f]{64}$`)

func (v *daemonValidator) install(s *Spec) {
	i := s.Install
	v.path("spec.install.to", i.To)
	switch {
	case i.To != "" && s.Binary != i.To:
		v.bad("spec.binary", "%s is another program than install.to, %s: leave it out, or say the same", s.Binary, i.To)
	case i.To == "" && strings.Contains(s.Binary, "/"):
		v.bad("spec.binary", "%q is a path, and an installed program is only called by a name: leave it out, or put the path into install.to", s.Binary)
	case s.Binary == "":
		v.bad("spec.binary", "nothing says what the program is called")
	}
	if i.Mode != nil && (*i.Mode > 0o7777 || *i.Mode&0o111 == 0) {
		v.bad("spec.install.mode", "%v is no mode of a program: it is 0001 to 7777 and lets somebody execute it", *i.Mode)
	}
	user, group, two := strings.Cut(i.Owner, ":")
	v.account("spec.install.owner", user)
	v.account("spec.install.owner", group)
	if i.Owner != "" && user == "" || two && group == "" {
		v.bad("spec.install.owner", "%q can't be an owner: write USER or USER:GROUP", i.Owner)
	}
	v.from(s)
	if a := i.Archive; a != nil {
		v.archive(i, a)
	}
}

// from checks where an installed program comes from.
func (v *daemonValidator) from(s *Spec) {
	i := s.Install
	switch {
	case i.From == "" && s.Build == nil:
		v.bad("spec.install.from", "this is required, where there is no build")
	case i.From == "" && (i.SHA256 != "" || i.Archive != nil):
		v.bad("spec.install.from", "sha256 and archive are for a program that comes from a file or a URL, and not from build")
	case i.From != "" && s.Build != nil:
		v.bad("spec.install.from", "the program comes from build already: leave one of them out")
	case strings.Contains(i.From, "://"):
		u, err := url.Parse(i.From)
		switch {
		case err != nil || u.Scheme != "https" || u.Host == "":
			v.bad("spec.install.from", "%q can't be fetched: write a path, or an https URL", i.From)
		case u.User != nil:
			v.bad("spec.install.from", "a URL with a password in it would be stamped and shown: leave it out")
		case i.SHA256 == "":
			v.bad("spec.install.sha256", "this is required for a URL: nothing else says that what comes is what you meant")
		}
	}
	if i.SHA256 != "" && !isSHA256.MatchString(i.SHA256) {
		v.bad("spec.install.sha256", "%q is no SHA-256: it has 64 digits 0-9a-f", i.SHA256)
	}
}

func (v *daemonValidator) archive(i *Install, a *Archive) {
	switch format := i.ArchiveFormat(); {
	case format == "":
		v.bad("spec.install.archive.format", "the name of %q doesn't tell: say tar.gz, tar, zip or gz", i.From)
	case format == ArchiveGz && a.Member != "":
		v.bad("spec.install.archive.member", "a gz holds one file, which has no name to choose it by")
	case format != ArchiveGz && a.Member == "":
		v.bad("spec.install.archive.member", "this is required: which file of the archive is the program?")
	}
}

func (v *daemonValidator) listen(sockets []string) {
	seen := map[string]int{}
	for i, s := range sockets {
		field := fmt.Sprintf("spec.listen[%d]", i)
		if _, err := ParseSocket(s); err != nil {
			v.bad(field, "%v", err)
		}
		if first, twice := seen[s]; twice {
			v.bad(field, "%s is listen[%d] too", s, first)
		}
		seen[s] = i
		v.provesNothing(i, s)
	}
}

// provesNothing refuses to check a daemon by a connection to a socket that is held for it.
func (v *daemonValidator) provesNothing(i int, socket string) {
	h := v.m.Spec.Health
	s, err := ParseSocket(socket)
	if h == nil || h.TCP == "" || err != nil || s.Network != "tcp" {
		return
	}
	_, held, heldErr := net.SplitHostPort(s.Address)
	if _, checked, err := net.SplitHostPort(h.TCP); err == nil && heldErr == nil && checked == held {
		v.bad("spec.health.tcp", "listen[%d] takes connections whether the daemon runs or not, so this would prove nothing: check by url or exec", i)
	}
}

// Socket is one entry of spec.listen.
type Socket struct {
	// Network is tcp or unix.
	Network string
	// Address is HOST:PORT or an absolute path.
	Address string
}

// ParseSocket reads tcp://HOST:PORT, where HOST is an IP address or empty for all of them, or unix://PATH.
func ParseSocket(text string) (Socket, error) {
	network, address, ok := strings.Cut(text, "://")
	s := Socket{network, address}
	switch {
	case ok && network == "tcp":
		host, port, err := net.SplitHostPort(address)
		if err != nil || !isPort(port) {
			return s, fmt.Errorf("%q can't be a socket: it is tcp://ADDRESS:PORT, with a port of 1 to 65535", text)
		}
		if host != "" && net.ParseIP(host) == nil {
			return s, fmt.Errorf("%q can't be listened on: %s is no IP address", text, host)
		}
	case ok && network == "unix":
		const longest = 107 // unix(7): sun_path, with its NUL
		if !path.IsAbs(address) || path.Clean(address) != address || address == "/" || len(address) > longest {
			return s, fmt.Errorf("%q can't be a socket: it is unix:// and an absolute path in its shortest form, of at most %d bytes", text, longest)
		}
	default:
		return s, fmt.Errorf("%q can't be a socket: it is tcp://ADDRESS:PORT or unix://PATH", text)
	}
	return s, nil
}
