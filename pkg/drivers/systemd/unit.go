package systemd

import (
	"bytes"
	"slices"
	"strings"

	"reconciler.dev/reconciler/internal/spawn"
	"reconciler.dev/reconciler/pkg/spec"
)

// Facts are what of a host the text of its units depends on.
type Facts struct {
	// Version is systemd's, as in 252. Units are rendered for 239 and later.
	Version int
	// User says that this is a user's manager and not the system's.
	User bool
	// Tool is the absolute path of a program that calls Tool first of all.
	Tool string
	// EnvDir is the absolute path of the directory of the files of secrets, which is the daemons' owner's alone and survives a reboot.
	EnvDir string
	// UnitOf is the unit of the daemon of that name on this host, empty where it is none of systemd's.
	UnitOf func(name string) string
	// Account finds the account of a user and a group, both by name or number or empty, as spawn.LookupAccount does; an error says that there is none.
	Account func(user, group string) (*spawn.Account, error)
	// Inherited are the names of the variables that the manager hands to every unit; daemons don't get them.
	Inherited []string
}

// Unit is a daemon as systemd is to have it.
type Unit struct {
	// Name is the unit's, NAME.service.
	Name string
	// Text is the whole file, with the stamp.
	Text []byte
	// Limits are those in it.
	Limits Limits
	// EnvFile is the path of the file of secrets, and Secrets its content, which is for the manager alone (mode 0600). Both are empty where there are none.
	EnvFile string
	Secrets []byte
	// CallsTool says that systemd is told to execute Facts.Tool, for a stop, a reload or the start.
	CallsTool bool
	// UsesTool says that the daemon is started by Facts.Tool, which its user must be able to execute.
	UsesTool bool
	// Sockets are the units of its sockets, in their order.
	Sockets []SocketUnit
	// Lost is what the spec asks for and this systemd can't do.
	Lost []spec.Loss
}

// setting is one line of a unit.
type setting struct{ section, key, value string }

// read returns the settings of a unit file in their order, without the stamp, comments and the description. It knows only what Render writes: no continued lines.
func read(text []byte) (all []setting) {
	body, _, _ := split(text)
	var section string
	for line := range bytes.Lines(body) {
		l := strings.TrimSuffix(string(line), "\n")
		key, value, ok := strings.Cut(l, "=")
		switch {
		case strings.HasPrefix(l, "["):
			section = strings.Trim(l, "[]")
		case l == "" || l[0] == '#' || l[0] == ';' || l == "Description="+value && ok:
		default:
			all = append(all, setting{section, key, value})
		}
	}
	return all
}

// Settings returns what of a unit file makes a difference to the daemon: no comments, description or stamp. A file that differs in these only needs no reload.
func Settings(text []byte) []byte {
	var b bytes.Buffer
	for _, s := range read(text) {
		b.WriteString(s.section + ": " + s.key + "=" + s.value + "\n")
	}
	return b.Bytes()
}

// Same tells whether two unit files have the same Settings.
func Same(a, b []byte) bool { return slices.Equal(read(a), read(b)) }

// SameButLimits tells whether two unit files differ in limits at most, which SetUnitProperties changes on a running unit.
func SameButLimits(a, b []byte) bool {
	limit := func(s setting) bool { return slices.Contains(limitKeys(), s.key) }
	return slices.Equal(slices.DeleteFunc(read(a), limit), slices.DeleteFunc(read(b), limit))
}

// Changes lists what somebody changed in a unit file that should read want, by setting. What is given more than once is compared as a whole.
func Changes(want, have []byte) (drift []spec.Drift) {
	collect := func(text []byte) (order []string, values map[string]string) {
		values = map[string]string{}
		for _, s := range read(text) {
			key := s.section + "." + s.key
			if before, again := values[key]; again {
				values[key] = before + " " + s.value
				continue
			}
			order, values[key] = append(order, key), s.value
		}
		return order, values
	}
	keys, wanted := collect(want)
	more, has := collect(have)
	for _, key := range more {
		if _, known := wanted[key]; !known {
			keys = append(keys, key)
		}
	}
	for _, key := range keys {
		if w, h := wanted[key], has[key]; w != h {
			drift = append(drift, spec.Drift{Field: "unit " + key, Want: w, Have: h, Class: classOf(key)})
		}
	}
	return drift
}

// classOf is what putting a setting right costs.
func classOf(key string) spec.Class {
	section, name, _ := strings.Cut(key, ".")
	if section != "Service" || slices.Contains(limitKeys(), name) {
		return spec.Live
	}
	return spec.Restarted
}
