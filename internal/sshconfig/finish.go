package sshconfig

import (
	"crypto/sha1"
	"encoding/hex"
	"fmt"
	"io"
	"net/netip"
	"slices"
	"strconv"
	"strings"
	"time"
)

type duration = time.Duration

// canonical writes an address in its usual form, and a name in lower case. What only looks like an IPv6 address stays as it is.
func canonical(host string) string {
	if a, err := netip.ParseAddr(host); err == nil {
		return a.String()
	}
	if strings.ContainsAny(host, ":%") {
		return host
	}
	return strings.ToLower(host)
}

// setDefaults fills what the configuration left open, as ssh does.
func (s *Settings) setDefaults(ctx Context) {
	if s.Port == 0 {
		s.Port = 22
	}
	if s.User == "" {
		s.User = ctx.User
	}
	if s.StrictHostKeyChecking == "" {
		s.StrictHostKeyChecking = "ask"
	}
	if _, set := s.From["serveralivecountmax"]; !set {
		s.ServerAliveCountMax = 3
	}
	if s.UserKnownHostsFiles == nil {
		s.UserKnownHostsFiles = []string{"~/.ssh/known_hosts", "~/.ssh/known_hosts2"}
	}
	if s.GlobalKnownHostsFiles == nil {
		s.GlobalKnownHostsFiles = []string{"/etc/ssh/ssh_known_hosts", "/etc/ssh/ssh_known_hosts2"}
	}
}

// expand replaces homes, tokens and the environment in what names files, as ssh does just before it connects.
func (s *Settings) expand(q Query, ctx Context) (err error) {
	tokens := s.tokens(q, ctx)
	for _, list := range []struct {
		word  string
		files *[]string
	}{{"IdentityFile", &s.IdentityFiles}, {"CertificateFile", &s.CertificateFiles}, {"UserKnownHostsFile", &s.UserKnownHostsFiles}} {
		for i := range *list.files {
			if (*list.files)[i], err = ctx.expand((*list.files)[i], tokens); err != nil {
				return fmt.Errorf("%s %w", list.word, err)
			}
		}
	}
	s.IdentityFiles = slices.DeleteFunc(s.IdentityFiles, func(f string) bool { return strings.EqualFold(f, "none") })
	for i, h := range s.ProxyJump {
		if h.Host, err = percent(h.Host, tokensOfProxy(tokens)); err == nil {
			h.User, err = percent(h.User, tokensOfProxy(tokens))
		}
		if err != nil {
			return fmt.Errorf("ProxyJump %w", err)
		}
		s.ProxyJump[i] = h
	}
	return s.expandAgent(ctx, tokens)
}

func (s *Settings) expandAgent(ctx Context, tokens map[byte]string) (err error) {
	name, isVariable := strings.CutPrefix(s.IdentityAgent, "$")
	switch {
	case s.IdentityAgent == "SSH_AUTH_SOCK":
		s.IdentityAgent = ""
	case isVariable && !strings.HasPrefix(name, "{"):
		s.IdentityAgent = "none"
		if socket, ok := ctx.env(name); ok && socket != "" {
			s.IdentityAgent = socket
		}
	default:
		if s.IdentityAgent, err = ctx.expand(s.IdentityAgent, tokens); err != nil {
			return fmt.Errorf("IdentityAgent %w", err)
		}
	}
	return nil
}

// tokens are those of the TOKENS section of ssh_config(5) that files may have.
func (s *Settings) tokens(q Query, ctx Context) map[byte]string {
	alias := s.HostKeyAlias
	if alias == "" {
		alias = q.Host
	}
	short, _, _ := strings.Cut(ctx.HostName, ".")
	port := strconv.Itoa(s.Port)
	hash := sha1.New() // a name, not a secret
	for _, part := range []string{ctx.HostName, s.HostName, port, s.User} {
		_, _ = io.WriteString(hash, part)
	}
	return map[byte]string{
		'C': hex.EncodeToString(hash.Sum(nil)), 'L': short, 'd': ctx.Home, 'h': s.HostName, 'i': ctx.UID, 'k': alias,
		'l': ctx.HostName, 'n': q.Host, 'p': port, 'r': s.User, 'u': ctx.User,
	}
}

// tokensOfProxy are those that ProxyJump may have.
func tokensOfProxy(tokens map[byte]string) map[byte]string {
	some := map[byte]string{}
	for _, t := range []byte("hnpr") {
		some[t] = tokens[t]
	}
	return some
}
