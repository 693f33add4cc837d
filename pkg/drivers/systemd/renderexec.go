package systemd

import (
	"encoding/base64"
	"fmt"
	"path"
	"slices"
	"strconv"
	"strings"

	"reconciler.dev/reconciler/pkg/spec"
)

// The most that a line of a unit may have, the longest string that a process can be given (MAX_ARG_STRLEN of execve(2), with its NUL), and the longest path.
const (
	maxLine   = 1<<20 - 1<<10
	maxString = 128<<10 - 1
	maxPath   = 4095
)

// execStart writes the command, its directory and its environment. Where systemd can't carry one of them the tool does: see Tool.
func (r *renderer) execStart(s *spec.Spec) {
	dir := s.WorkingDir
	if dir == "" {
		dir = "/"
	}
	env := r.environment()
	carried := slices.Concat([]string{"", s.Binary}, s.Args) // by the tool
	if !directory(dir) {
		carried[0], dir = dir, "/"
	}
	r.unit.UsesTool = !executable(s.Binary) || carried[0] != "" || slices.ContainsFunc(s.Args, func(a string) bool { return !carriable(a) }) || !env.direct() || len(s.Listen) > 1
	line := commandLine(s.Binary, s.Args)
	if r.unit.UsesTool {
		line = r.toolLine(carried)
	}
	r.sized(s)
	if len(line) > maxLine {
		r.refuse("spec.args", "they take %d bytes in a unit, and systemd reads no line of more than %d", len(line), maxLine)
		return
	}
	r.set("ExecStart", line)
	r.set("WorkingDirectory", whole(dir))
	r.writeEnvironment(env)
}

// sized refuses what is longer than the kernel hands on, in the way that it is handed on.
func (r *renderer) sized(s *spec.Spec) {
	if len(s.Binary) > maxPath {
		r.refuse("spec.binary", "it has %d bytes, and no path may have more than %d", len(s.Binary), maxPath)
	}
	for i, a := range s.Args {
		if r.unit.UsesTool {
			a = wrap(a)
		}
		if len(a) > maxString {
			r.refuse(fmt.Sprintf("spec.args[%d]", i), "it has %d bytes, and the kernel hands on no more than %d", len(a), maxString)
		}
	}
}

// executable tells whether systemd takes p for the path of a program: it takes no quotes, backslashes or control characters, whichever way they are written; and where it
// starts programs by systemd-executor, from version 255 on, white space at the end gets lost on the way there.
func executable(p string) bool {
	return carriable(p) && !controls(p) && !strings.ContainsAny(p, "\t\n\"'\\") && !strings.HasSuffix(p, "/") && !blankEnd(p)
}

// blankEnd tells whether p ends in white space.
func blankEnd(p string) bool { return strings.TrimRight(p, " \t") != p }

// directory tells whether p, which is absolute, can be a WorkingDirectory=.
func directory(p string) bool { return plain(p) && !controls(p) }

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

// toolLine is the command that becomes the daemon. carried are its directory, empty for that of the unit, its program, and its argv without the program.
func (r *renderer) toolLine(carried []string) string {
	if !executable(r.facts.Tool) {
		r.refuse("spec.binary", "systemd can't be told of %q, which would start it: keep its state in another directory (--state-dir)", r.facts.Tool)
	}
	r.unit.CallsTool = true
	words := []string{"@" + quote(r.facts.Tool, word), toolExec}
	if len(r.d.Spec.Listen) > 1 { // systemd hands them over in any order
		words[1] = toolListen
		carried = slices.Concat([]string{strconv.Itoa(len(r.d.Spec.Listen))}, r.d.Spec.Listen, carried)
	}
	for _, a := range carried {
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
