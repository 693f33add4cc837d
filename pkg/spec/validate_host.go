package spec

import (
	"bytes"
	"encoding/base64"
	"encoding/binary"
	"fmt"
	"path"
	"reflect"
	"strings"
	"unicode"
)

// where checks on which hosts a daemon runs.
func (v *daemonValidator) where() {
	s := &v.m.Spec
	if s.Host != "" {
		if strings.Contains(s.Host, ",") {
			v.bad("spec.host", "%q is more than one host: give them a label and choose them by hostSelector", s.Host)
		} else if _, err := parseHostWord(s.Host); err != nil {
			v.bad("spec.host", "%q can't be a host: %v", s.Host, err)
		}
	}
	if s.HostSelector == nil {
		return
	}
	if s.Host != "" {
		v.bad("spec.hostSelector", "host says already where this runs: leave one of them out")
	}
	v.labels("spec.hostSelector.matchLabels", s.HostSelector.MatchLabels)
}

// ValidateHost returns all that is wrong with one host's document whose defaults are filled in, in the order of the fields; nil where nothing is.
func ValidateHost(m HostManifest) Problems {
	return validateHost(&m)
}

func validateHost(m *HostManifest) Problems {
	v := validator{origin: m.origin()}
	v.fields(hostShape(), reflect.ValueOf(&m.Host).Elem(), make([]byte, 0, 64))
	v.header(m.APIVersion, m.Kind, HostKind)
	v.metadata(m.Metadata)
	s := &m.Spec
	v.hostAddress(s)
	v.jumps(s.ProxyJump)
	v.file("spec.identityFile", s.IdentityFile)
	v.hostKey(s.HostKey)
	v.file("spec.knownHosts", s.KnownHosts)
	if s.HostKey != "" && s.KnownHosts != "" {
		v.bad("spec.knownHosts", "with hostKey no file is asked: leave one of them out")
	}
	v.path("spec.agent.path", s.Agent.Path)
	return v.problems
}

func (v *validator) hostAddress(s *HostSpec) {
	if s.Address != "" {
		switch w, err := parseHostWord(s.Address); {
		case err != nil:
			v.bad("spec.address", "%q can't be an address: %v", s.Address, err)
		case w.user != "":
			v.bad("spec.address", "%q has a user in it: write user: %s, and address: %s", s.Address, w.user, strings.TrimPrefix(s.Address, w.user+"@"))
		case w.port != "":
			v.bad("spec.address", "%q has a port in it: write port: %s, and address: %s", s.Address, w.port, w.address)
		case w.address != s.Address:
			v.bad("spec.address", "%q needs no brackets: write %q", s.Address, w.address)
		}
	}
	if s.User != "" {
		if err := checkHostText(s.User); err != nil {
			v.bad("spec.user", "%q can't be an account: %v", s.User, err)
		}
	}
}

func (v *validator) jumps(list string) {
	if list == "" || list == "none" {
		return
	}
	for hop := range strings.SplitSeq(list, ",") {
		if _, err := parseHostWord(hop); err != nil {
			v.bad("spec.proxyJump", "%q can't be a host to go through: %v", hop, err)
		}
	}
}

// file checks the path of a file of this machine: absolute, below a home directory or relative to the manifest.
func (v *validator) file(field, p string) {
	switch {
	case strings.ContainsFunc(p, unicode.IsControl):
		v.bad(field, "%q has a control character in it", p)
	case strings.HasPrefix(p, "~") && !strings.HasPrefix(p, "~/"):
		v.bad(field, "%q is in the home directory of somebody else: write an absolute path", p)
	case p != "" && path.Clean(p) != p && "./"+path.Clean(p) != p:
		v.bad(field, "%q has a shorter form: write %q", p, path.Clean(p))
	}
}

// hostKey checks that a key is one line of authorized_keys, a type and the key, whose type is that in the key too; see sshd(8).
func (v *validator) hostKey(text string) {
	if text == "" {
		return
	}
	if err := checkKey(text); err != nil {
		v.bad("spec.hostKey", `%v: write "ssh-ed25519 AAAA...", as ssh-keyscan and /etc/ssh/ssh_host_ed25519_key.pub have it`, err)
	}
}

func checkKey(text string) error {
	words := strings.Fields(text)
	switch {
	case strings.ContainsFunc(text, unicode.IsControl):
		return fmt.Errorf("this is more than one line")
	case strings.HasPrefix(text, "SHA256:") || strings.HasPrefix(text, "MD5:"):
		return fmt.Errorf("this is the fingerprint of a key, and not the key")
	case len(words) > 2 && checkKey(words[1]+" "+words[2]) == nil:
		return fmt.Errorf("this is a line of known_hosts: leave out what stands before %s", words[1])
	case len(words) < 2:
		return fmt.Errorf("this is no key")
	}
	key, err := base64.StdEncoding.DecodeString(words[1])
	if err != nil || len(key) < 4 {
		return fmt.Errorf("this is no key, or only a part of one")
	}
	size, inner := binary.BigEndian.Uint32(key), key[4:]
	if uint64(size) >= uint64(len(inner)) || !bytes.Equal(inner[:size], []byte(words[0])) {
		return fmt.Errorf("this key isn't one of the type %s, or only a part of one", words[0])
	}
	return nil
}
