package sshconfig

import (
	"errors"
	"slices"
	"strings"
)

// setter makes one setting. A nil setter leaves it to the lines that follow.
type setter func(s *Settings)

// word is a keyword that is honoured. read checks its arguments; rest is the line behind the keyword as it is written.
type word struct {
	read func(args []string, rest string) (setter, error)
	// key is what the setting is remembered by: of the lines with one key the first counts. many says that all count.
	key  string
	many bool
}

// honoured returns what is known of a keyword that is done as ssh does it, by the keyword in lower case.
func honoured(name string) (word, bool) {
	w := word{key: name}
	switch name {
	case "hostname":
		w.read = text(func(s *Settings, arg string) { s.HostName = arg })
	case "user":
		w.read = text(func(s *Settings, arg string) { s.User = arg })
	case "hostkeyalias":
		w.read = text(func(s *Settings, arg string) { s.HostKeyAlias = strings.ToLower(arg) })
	case "refuseconnection": // since OpenSSH 10.0
		w.read = text(func(s *Settings, arg string) { s.RefuseConnection = arg })
	case "identityagent":
		w.read = text(func(s *Settings, arg string) { s.IdentityAgent = arg })
	case "identityfile", "identityfile2":
		w = word{key: "identityfile", many: true, read: text(func(s *Settings, arg string) { add(&s.IdentityFiles, arg) })}
	case "certificatefile":
		w.many, w.read = true, text(func(s *Settings, arg string) { add(&s.CertificateFiles, arg) })
	case "userknownhostsfile":
		w.read = files(func(s *Settings, list []string) { s.UserKnownHostsFiles = list })
	case "globalknownhostsfile":
		w.read = files(func(s *Settings, list []string) { s.GlobalKnownHostsFiles = list })
	case "identitiesonly":
		w.read = value(flag, func(s *Settings, v bool) { s.IdentitiesOnly = v })
	case "stricthostkeychecking":
		w.read = value(strictness, func(s *Settings, v string) { s.StrictHostKeyChecking = v })
	case "port":
		w.read = value(port, func(s *Settings, v int) { s.Port = v })
	case "serveralivecountmax":
		w.read = value(count, func(s *Settings, v int) { s.ServerAliveCountMax = v })
	case "connecttimeout":
		w.read = unlessNone(value(interval, func(s *Settings, v duration) { s.ConnectTimeout = v }))
	case "serveraliveinterval":
		w.read = unlessNone(value(interval, func(s *Settings, v duration) { s.ServerAliveInterval = v }))
	case "proxyjump":
		w.read = readJump
	case "proxycommand":
		w.read = readCommand
	default:
		return word{}, false
	}
	return w, true
}

// add appends what isn't there yet.
func add(list *[]string, s string) {
	if !slices.Contains(*list, s) {
		*list = append(*list, s)
	}
}

var (
	errMissing = errors.New("its argument is missing")
	errExtra   = errors.New("there are arguments too many")
)

// value reads one argument.
func value[T any](parse func(string) (T, error), set func(*Settings, T)) func([]string, string) (setter, error) {
	return func(args []string, _ string) (setter, error) {
		if len(args) == 0 || args[0] == "" {
			return nil, errMissing
		}
		if len(args) > 1 {
			return nil, errExtra
		}
		v, err := parse(args[0])
		return func(s *Settings) { set(s, v) }, err
	}
}

func text(set func(*Settings, string)) func([]string, string) (setter, error) {
	return value(func(arg string) (string, error) { return arg, nil }, set)
}

// unlessNone makes no setting of the argument none.
func unlessNone(read func([]string, string) (setter, error)) func([]string, string) (setter, error) {
	return func(args []string, rest string) (setter, error) {
		if slices.Equal(args, []string{"none"}) {
			return nil, nil
		}
		return read(args, rest)
	}
}

// files reads a list of files, or none.
func files(set func(*Settings, []string)) func([]string, string) (setter, error) {
	return func(args []string, _ string) (setter, error) {
		none := slices.ContainsFunc(args, func(a string) bool { return strings.EqualFold(a, "none") })
		switch {
		case len(args) == 0 || slices.Contains(args, ""):
			return nil, errMissing
		case none && len(args) > 1:
			return nil, errors.New(`"none" is there with other files`)
		case none:
			args = []string{}
		}
		return func(s *Settings) { set(s, slices.Clone(args)) }, nil
	}
}

func readJump(_ []string, rest string) (setter, error) {
	list, err := ParseHops(strings.TrimLeft(rest, blanks+"="))
	return func(s *Settings) { s.ProxyJump = slices.Clone(list) }, err
}

func readCommand(_ []string, rest string) (setter, error) {
	rest = strings.TrimLeft(rest, blanks+"=")
	if strings.EqualFold(rest, "none") {
		rest = ""
	}
	return func(s *Settings) { s.ProxyCommand = rest }, nil
}
