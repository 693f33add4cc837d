package systemd

import (
	"encoding/base64"
	"fmt"
	"maps"
	"path"
	"slices"
	"strings"

	"reconciler.dev/reconciler/pkg/drivers"
	"reconciler.dev/reconciler/pkg/spec"
)

// The most that a line of a unit may have, the longest string that a process can be given (MAX_ARG_STRLEN of execve(2), with its NUL), and the longest path.
const (
	maxLine   = 1<<20 - 1<<10
	maxString = 128<<10 - 1
	maxPath   = 4095
)

// own are the variables that systemd sets by itself, and its user manager hands on; a daemon has only those that its manifest and its account give it.
func own() []string {
	return []string{
		"INVOCATION_ID", "JOURNAL_STREAM", "SYSTEMD_EXEC_PID", "MEMORY_PRESSURE_WATCH", "MEMORY_PRESSURE_WRITE", "MANAGERPID", "MANAGERPIDFDID", "DEBUG_INVOCATION",
		"XDG_RUNTIME_DIR", "DBUS_SESSION_BUS_ADDRESS",
	}
}

// execStart writes the command, its directory and its environment. Where systemd can't carry one of them the tool does: see Tool.
func (r *renderer) execStart(s *spec.Spec) {
	dir := s.WorkingDir
	if dir == "" {
		dir = "/"
	}
	env := r.environment()
	r.unit.UsesTool = !executable(s.Binary) || !plain(dir) || !directory(dir) || slices.ContainsFunc(s.Args, func(a string) bool { return !carriable(a) }) || !env.direct()
	for i, a := range s.Args {
		if len(a) > maxString {
			r.refuse(fmt.Sprintf("spec.args[%d]", i), "it has %d bytes, and the kernel hands on no more than %d", len(a), maxString)
		}
	}
	if len(s.Binary) > maxPath {
		r.refuse("spec.binary", "it has %d bytes, and no path may have more than %d", len(s.Binary), maxPath)
	}
	line := commandLine(s.Binary, s.Args)
	if r.unit.UsesTool {
		if !executable(r.facts.Tool) {
			r.refuse("spec.binary", "systemd can't be told of %q, which would start it: install reconciler in another directory", r.facts.Tool)
		}
		if !plain(dir) || !directory(dir) {
			line, dir = r.toolLine(dir, s), "/"
		} else {
			line = r.toolLine("", s)
		}
	}
	if len(line) > maxLine {
		r.refuse("spec.args", "they take %d bytes in a unit, and systemd reads no line of more than %d", len(line), maxLine)
		return
	}
	r.set("ExecStart", line)
	r.set("WorkingDirectory", whole(dir))
	r.writeEnvironment(env)
}

// executable tells whether systemd takes p for the path of a program: it takes no quotes, backslashes or control characters, whichever way they are written.
func executable(p string) bool {
	return carriable(p) && !controls(p) && !strings.ContainsAny(p, "\t\n\"'\\") && !strings.HasSuffix(p, "/")
}

// directory tells whether p can be a WorkingDirectory=, where a leading white space would be lost; an absolute path has none.
func directory(p string) bool { return !controls(p) }

// commandLine is a program and its arguments. The path is no argument: '$' means nothing in it, and nothing is put into its shortest form in argv[0], which is
// given apart where that makes a difference.
func commandLine(binary string, args []string) string {
	words := []string{quote(binary, word)}
	if strings.Contains(binary, "$") || path.Clean(binary) != binary {
		words = []string{"@" + quote(binary, word), quote(binary, argument)}
	}
	for _, a := range args {
		words = append(words, quote(a, argument))
	}
	return strings.Join(words, " ")
}

// toolLine is the command that becomes the daemon: its directory, empty for that of the unit, its program, and its argv without the program.
func (r *renderer) toolLine(dir string, s *spec.Spec) string {
	words := []string{"@" + quote(r.facts.Tool, word), toolExec}
	for _, a := range slices.Concat([]string{dir, s.Binary}, s.Args) {
		words = append(words, quote(wrap(a), argument))
	}
	return strings.Join(words, " ")
}

// wrap makes text of any bytes, and unwrap the bytes of the text.
func wrap(s string) string {
	if carriable(s) {
		return ":" + s
	}
	return "~" + base64.RawURLEncoding.EncodeToString([]byte(s))
}

func unwrap(s string) (string, error) {
	if text, ok := strings.CutPrefix(s, ":"); ok {
		return text, nil
	}
	code, ok := strings.CutPrefix(s, "~")
	if !ok {
		return "", fmt.Errorf("%q begins with neither ':' nor '~'", s)
	}
	b, err := base64.RawURLEncoding.DecodeString(code)
	return string(b), err
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
