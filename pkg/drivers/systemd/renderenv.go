package systemd

import (
	"encoding/base64"
	"fmt"
	"maps"
	"slices"
	"strings"

	"reconciler.dev/reconciler/pkg/drivers"
	"reconciler.dev/reconciler/pkg/spec"
)

// own are the variables that systemd sets by itself, and its user manager hands on; a daemon has only those that its manifest and its account give it.
func own() []string {
	return []string{
		"INVOCATION_ID", "JOURNAL_STREAM", "SYSTEMD_EXEC_PID", "MEMORY_PRESSURE_WATCH", "MEMORY_PRESSURE_WRITE", "MANAGERPID", "MANAGERPIDFDID", "DEBUG_INVOCATION",
		"XDG_RUNTIME_DIR", "DBUS_SESSION_BUS_ADDRESS",
	}
}

// hasSecrets tells whether a spec names secrets. Its stamp has their digests then, and who knows all else could try short values until one has that digest.
func hasSecrets(s *spec.Spec) bool {
	for _, v := range s.Env {
		if v.FromFile != "" || v.FromEnv != "" {
			return true
		}
	}
	return false
}

// environ is the environment of a daemon: what may be read by everybody and what may not, by name.
type environ struct{ open, secret map[string]string }

// environment collects it.
func (r *renderer) environment() environ {
	e := environ{open: map[string]string{}, secret: map[string]string{}}
	for _, kv := range r.account.Environ() {
		k, v, _ := strings.Cut(kv, "=")
		e.open[k] = v
	}
	for name, v := range r.d.Spec.Env {
		secret, ok := r.d.Secrets[name]
		switch {
		case v.Value != nil:
			e.open[name] = *v.Value
		case ok:
			delete(e.open, name)
			e.secret[name] = secret.Reveal()
		default:
			r.problems = append(r.problems, fmt.Errorf("spec.env.%s: its value was not read: %w", name, drivers.ErrPermanent))
		}
	}
	for name, size := range sizes(e.open, e.secret) {
		if size > maxString {
			r.refuse("spec.env."+name, "it has %d bytes, and the kernel hands on no more than %d", size, maxString)
		}
	}
	return e
}

// sizes are those of the variables as they are handed on.
func sizes(all ...map[string]string) map[string]int {
	n := map[string]int{}
	for _, vars := range all {
		for k, v := range vars {
			k, v = encoded(0, k, v)
			n[k] = len(k) + 1 + len(v)
		}
	}
	return n
}

// direct tells whether systemd can carry all of it by itself.
func (e environ) direct() bool {
	for _, vars := range []map[string]string{e.open, e.secret} {
		for k, v := range vars {
			if !direct(k, v) {
				return false
			}
		}
	}
	return true
}

// direct tells of one variable whether systemd can carry it. The tool has its own under some names.
func direct(name, value string) bool {
	return variable(name) && carriable(value) && !controls(value) && !strings.HasPrefix(name, toolVariable) && name != mainPID
}

// encoded is how a variable is carried, the nth of those that systemd can't.
func encoded(n int, name, value string) (string, string) {
	if direct(name, value) {
		return name, value
	}
	return fmt.Sprintf("%s%d", toolVariable, n), base64.RawURLEncoding.EncodeToString([]byte(name + "=" + value))
}

// writeEnvironment writes the variables: the open ones into the unit, the secret ones into a file of their own.
func (r *renderer) writeEnvironment(e environ) {
	n := 0
	next := func(name, value string) (string, string) {
		n++
		return encoded(n, name, value)
	}
	for _, name := range slices.Sorted(maps.Keys(e.open)) {
		k, v := next(name, e.open[name])
		r.set("Environment", quote(k+"="+v, word))
	}
	r.set("UnsetEnvironment", strings.Join(r.unwanted(e), " "))
	if len(e.secret) == 0 {
		return
	}
	r.unit.EnvFile = r.envFile()
	if !plain(r.unit.EnvFile) || controls(r.unit.EnvFile) {
		r.refuse("spec.env", "the file of secrets, %q, has control characters in its path", r.unit.EnvFile)
	}
	r.set("EnvironmentFile", whole(r.unit.EnvFile))
	for _, name := range slices.Sorted(maps.Keys(e.secret)) {
		k, v := next(name, e.secret[name])
		r.unit.Secrets = append(r.unit.Secrets, k+"="+quoteEnvFile(v)+"\n"...)
	}
}

// unwanted are the variables that the manager would give to the daemon besides.
func (r *renderer) unwanted(e environ) (names []string) {
	for _, name := range slices.Concat(own(), r.facts.Inherited) {
		_, open := e.open[name]
		_, secret := e.secret[name]
		if !open && !secret && variable(name) {
			names = append(names, name)
		}
	}
	slices.Sort(names)
	return slices.Compact(names)
}
