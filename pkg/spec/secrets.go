package spec

import (
	"encoding/binary"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
)

// readSecret reads the value of a variable from its source. No error it makes holds any part of a value.
func readSecret(e EnvVar, lookup func(string) (string, bool)) (string, error) {
	value, err := secretValue(e, lookup)
	if err == nil && strings.IndexByte(value, 0) >= 0 {
		return "", errors.New("the secret holds a NUL, which no process can be given")
	}
	return value, err
}

func secretValue(e EnvVar, lookup func(string) (string, bool)) (string, error) {
	if e.FromFile != "" {
		b, err := readRegular(e.FromFile, maxSecret)
		if line, ok := strings.CutSuffix(string(b), "\r\n"); ok {
			return line, err
		}
		return strings.TrimSuffix(string(b), "\n"), err
	}
	if lookup != nil {
		if value, ok := lookup(e.FromEnv); ok {
			if len(value) > maxSecret {
				return "", fmt.Errorf("%s in the environment is larger than %s", e.FromEnv, people(maxSecret))
			}
			return value, nil
		}
	}
	return "", fmt.Errorf("%s is not set in the environment of reconciler", e.FromEnv)
}

// secretNames are the variables that hold secrets, sorted.
func secretNames(env map[string]EnvVar) []string {
	var names []string
	for name, e := range env {
		if e.secret() {
			names = append(names, name)
		}
	}
	slices.Sort(names)
	return names
}

// plainEnv says whether env is already as it is in an effective spec: without secrets and without digests.
func plainEnv(env map[string]EnvVar) bool {
	for _, e := range env {
		if e.secret() || e.Digest != "" {
			return false
		}
	}
	return true
}

// cloneEnv is a copy of env without the digests of plain values.
func cloneEnv(env map[string]EnvVar) map[string]EnvVar {
	out := maps.Clone(env)
	for name, e := range out {
		if !e.secret() {
			out[name] = EnvVar{Value: e.Value}
		}
	}
	return out
}

// keepSecret puts a secret's value and its digest where they belong.
func (d *Daemon) keepSecret(variable string, e EnvVar, value string) {
	e.Digest = digestSecret(d.Metadata.Name, variable, value)
	d.Spec.Env[variable] = e
	d.Secrets[variable] = NewSecret(value)
}

// digestSecret tells a changed secret. It holds the daemon and the variable, so that equal secrets of two daemons don't show as equal.
func digestSecret(daemon, variable, value string) string {
	var b []byte
	for _, part := range []string{"reconciler.dev/v1 secret", daemon, variable, value} {
		b = binary.BigEndian.AppendUint64(b, uint64(len(part)))
		b = append(b, part...)
	}
	return digestOf(b)
}

// Revive makes a Daemon again from what was applied: contents come by their digest from where they are kept, secrets are read again from their sources. A
// secret that changed since changes the digest. Messages name the daemon.
func Revive(s Stamp, content func(digest string) ([]byte, error), lookupEnv func(name string) (string, bool)) (*Daemon, error) {
	d := &Daemon{Metadata: s.Metadata, Spec: s.Spec, Source: fmt.Sprintf("generation %d", s.Generation), Secrets: map[string]Secret{}, Contents: map[string][]byte{}}
	d.Spec.Env = cloneEnv(s.Spec.Env)
	var errs []error
	for _, name := range secretNames(s.Spec.Env) {
		e := s.Spec.Env[name]
		value, err := readSecret(e, lookupEnv)
		if err != nil {
			errs = append(errs, fmt.Errorf("read the secret %s of daemon %s: %w", name, s.Name, err))
			continue
		}
		d.keepSecret(name, e, value)
	}
	for _, f := range s.Spec.Files {
		b, err := content(f.Digest)
		if err != nil {
			errs = append(errs, fmt.Errorf("read the content of %s of daemon %s: %w", f.Path, s.Name, err))
		}
		d.Contents[f.Digest] = b
	}
	if err := errors.Join(errs...); err != nil {
		return nil, err
	}
	d.Digest = Digest(d.Metadata, d.Spec)
	return d, nil
}
