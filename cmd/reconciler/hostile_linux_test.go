package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"strings"
	"testing"
	"time"
	"unicode"
	"unicode/utf8"

	"github.com/google/go-cmp/cmp"
	"golang.org/x/sys/unix"
	"sigs.k8s.io/yaml"

	"reconciler.dev/reconciler/pkg/drivers"
	"reconciler.dev/reconciler/pkg/drivers/driverstest"
	"reconciler.dev/reconciler/pkg/spec"
)

// hostile is what no manifest may contain, and a daemon, a host, a file or another reconciler may say.
var hostile = map[string]string{
	"a cleared screen":       "x\x1b[2J\x1b[Hy",
	"a title":                "x\x1b]0;root@prod\ay",
	"a link":                 "x\x1b]8;;http://evil\x1b\\click\x1b]8;;\x1b\\y",
	"the clipboard":          "x\x1b]52;c;cm0gLXJmIC8=\ay",
	"a report that answers":  "x\x1b[6n\x1b[cy",
	"C1 controls":            "x\u009b2J\u009d0;t\u009cy",
	"a bare C1 byte":         "x\x9b2Jy",
	"a return":               "good\rbad",
	"lines":                  "x\nerror: forged\n$ forged",
	"backspaces":             "x\b\b\x7fy",
	"direction of writing":   "x\u202etxt.exe\u2066y",
	"what has no width":      "x\u200b\u200d\ufeffy",
	"what separates lines":   "x\u2028\u2029\u0085y",
	"a script":               "<script>alert(1)</script><img src=x onerror=alert(1)>",
	"bytes that aren't text": "x\xff\xfe\xc3(y",
	"NUL":                    "x\x00y",
	"a long line":            strings.Repeat("x", 100<<10),
	"format verbs":           "%s%n%!d(MISSING)%%",
}

// wicked is a desk at which everything that can say something says text: a daemon, its host, another reconciler, and a machine far away.
func wicked(t *testing.T, text string) *desk {
	t.Helper()
	d := newDesk(t)
	d.env["NO_COLOR"] = "1"
	d.daemon("loud", "type: exec")
	d.daemon("sick", "health: {tcp: '127.0.0.1:1', interval: 1s}")
	d.daemon("bent", "type: exec")
	f := d.host.Fake()
	f.Behave("loud", driverstest.Behaviour{Start: func(p *driverstest.Proc) { p.Append(text + "\n") }})
	d.must(exitOK, "apply", "-f", "loud.yaml", "-f", "sick.yaml", "-f", "bent.yaml")
	d.host.Probes(func(context.Context, string, spec.Health) error { return errors.New(text) })
	f.Drift("bent", spec.Drift{Field: "unit " + text, Want: text, Have: text, Class: spec.Restarted})
	f.Unknown("sick", text)
	f.Foreign("alien", text)
	d.host.Lacks(&drivers.Unavailable{Kind: spec.DriverSystemd, Reason: text, Remedy: text})
	d.host.Uses(func(s *spec.Sample) {
		s.Message, s.Cgroup = text, text
		s.Missing = []spec.Loss{{Field: text, Reason: text}}
		s.GPUs = []spec.GPUUse{{UUID: text}}
	})
	for _, name := range []string{"loud", "sick", "bent"} {
		d.host.Record(spec.Event{At: time.Now(), Name: name, Type: "Warning", Reason: text, Message: text})
		st := spec.Status{Name: name, Instance: "x", Holder: text, Conditions: []spec.Condition{{Type: spec.Ready, Status: spec.False, Reason: text, Message: text}}}
		if err := d.host.SetStatus(t.Context(), st); err != nil {
			t.Fatal(err)
		}
	}
	d.host.Record(spec.Event{At: time.Now(), Host: text, Type: text, Reason: text, Message: text})
	release, err := d.host.Lock(t.Context(), "other", drivers.Holder{ID: text, Set: "other", Command: text})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(release)
	d.far = map[string]*driverstest.Far{"far": driverstest.NewFar("far", driverstest.NewHost())}
	d.far["far"].Cut("ssh: the host says: " + text)
	return d
}

// verbsThatShow are those through which a person sees what others wrote.
var verbsThatShow = [][]string{
	{"get"}, {"get", "-o", "wide"}, {"get", "-o", "json"}, {"get", "-o", "yaml"}, {"get", "-o", "go-template={{range .items}}{{.status.message}}{{end}}"},
	{"describe", "loud", "sick", "bent"}, {"describe", "alien"}, {"events"}, {"events", "-o", "json"}, {"events", "-o", "yaml"}, {"events", "--for=loud"},
	{"stats", "--count=1", "--interval=100ms"}, {"stats", "--count=1", "--interval=100ms", "-o", "json"}, {"top", "--once", "--interval=100ms"}, {"diff", "-f", "."}, {"plan", "-f", "."}, {"apply", "-f", "bent.yaml"}, {"apply", "-f", ".", "-o", "json"}, {"restart", "sick", "--timeout=100ms"},
	{"get", "--host=far"}, {"events", "--host=far"}, {"logs", "sick", "--host=far"}, {"top", "--once", "--host=far"}, {"wait", "sick", "--for=condition=Ready", "--timeout=0"}, {"rollout", "history", "bent"},
}

// acted are the characters of a text that a terminal would act on.
func acted(text string) (bad []string) {
	for i, r := range text {
		if r != '\n' && r != '\t' && !unicode.IsPrint(r) || r == utf8.RuneError && !strings.HasPrefix(text[i:], "\ufffd") {
			bad = append(bad, fmt.Sprintf("%q in %q", r, text[max(0, i-20):min(len(text), i+20)]))
		}
	}
	return bad[:min(len(bad), 3)]
}

// TestWhatOthersSayNeverReachesATerminal raw, whether it is one that reads the output or a pipe, behind which there may be one.
func TestWhatOthersSayNeverReachesATerminal(t *testing.T) {
	for what, text := range hostile {
		t.Run(what, func(t *testing.T) {
			d := wicked(t, text)
			for _, args := range verbsThatShow {
				code, out, err := d.run(args...)
				if code != exitOK && len(args) == 3 && args[1] == "-o" && args[0] != "apply" {
					t.Errorf("%s: exit %d: %.300s", args, code, err)
				}
				if bad := acted(out + err); bad != nil {
					t.Errorf("%s into a pipe: %s", args, bad)
				}
				if inTables := args[0] != "diff" && !strings.Contains(args[len(args)-1], "template"); inTables && strings.Contains("\n"+out, "\n$ forged") {
					t.Errorf("%s has a forged line:\n%s", args, out)
				}
				if n := len(out); n > 20*len(text)+64<<10 || !strings.Contains(strings.Join(args, " "), "-o ") && strings.Contains("get events stats top", args[0]) && n > 64<<10 {
					t.Errorf("%s writes %d bytes", args, n)
				}
				if bad := acted(d.onTerminal(args...)); bad != nil {
					t.Errorf("%s on a terminal: %s", args, bad)
				}
			}
			logs, _ := d.must(exitOK, "logs", "loud")
			if logs != text+"\n" {
				t.Errorf("a pipe gets %.80q of the log, want it as it is: %.80q", logs, text)
			}
			if bad := acted(d.onTerminal("logs", "loud")); bad != nil {
				t.Errorf("logs on a terminal: %s", bad)
			}
			if bad := acted(d.onTerminal("logs", "loud", "-f", "--tail=3")); bad != nil {
				t.Errorf("logs -f on a terminal: %s", bad)
			}
		})
	}
}

// onTerminal runs a command whose stdout and stderr are a terminal, and returns what that gets.
func (d *desk) onTerminal(args ...string) string {
	d.t.Helper()
	ours, theirs, err := terminalPair()
	if err != nil {
		d.t.Fatal(err)
	}
	defer ours.Close()
	got := make(chan string)
	go func() {
		var b bytes.Buffer
		_, _ = io.Copy(&b, ours) // it ends with EIO when the other end is closed: pts(4)
		got <- b.String()
	}()
	ctx, cancel := context.WithTimeout(d.t.Context(), 100*time.Millisecond)
	if !strings.Contains(strings.Join(args, " "), " -f ") {
		ctx = d.t.Context()
	}
	d.cli(theirs, theirs).main(ctx, append([]string{"--state-dir=/state"}, args...))
	cancel()
	theirs.Close()
	return <-got
}

// terminalPair makes a terminal that changes nothing of what is written: see pts(4) and termios(3).
func terminalPair() (ours, theirs *os.File, err error) {
	fd, err := unix.Open("/dev/ptmx", unix.O_RDWR|unix.O_CLOEXEC|unix.O_NOCTTY, 0)
	if err != nil {
		return nil, nil, err
	}
	ours = os.NewFile(uintptr(fd), "/dev/ptmx")
	n, err := unix.IoctlGetInt(fd, unix.TIOCGPTN)
	if err == nil {
		err = unix.IoctlSetPointerInt(fd, unix.TIOCSPTLCK, 0)
	}
	if err == nil {
		theirs, err = os.OpenFile(fmt.Sprintf("/dev/pts/%d", n), os.O_RDWR|unix.O_NOCTTY, 0)
	}
	if err == nil {
		var mode *unix.Termios
		if mode, err = unix.IoctlGetTermios(int(theirs.Fd()), unix.TCGETS); err == nil {
			mode.Oflag &^= unix.OPOST
			err = unix.IoctlSetTermios(int(theirs.Fd()), unix.TCSETS, mode)
		}
	}
	if err != nil {
		return nil, nil, errors.Join(err, ours.Close())
	}
	return ours, theirs, nil
}

// TestProgramsReadWhatWasSaid: what is escaped for a terminal is the same text to whoever reads YAML or JSON.
func TestProgramsReadWhatWasSaid(t *testing.T) {
	for what, text := range hostile {
		want := map[string]any{"a": strings.ToValidUTF8(text, "\ufffd"), "z": []any{"\U0001d173" + strings.ToValidUTF8(text, "\ufffd")}}
		for _, format := range []string{"json", "yaml"} {
			b, err := marshal(format, want)
			var got map[string]any
			if bad := acted(string(b)); bad != nil {
				t.Errorf("%s as %s: %s", what, format, bad)
			}
			if err == nil {
				err = map[string]func() error{"json": func() error { return json.Unmarshal(b, &got) }, "yaml": func() error { return yaml.Unmarshal(b, &got) }}[format]()
			}
			if d := cmp.Diff(want, got); d != "" || err != nil {
				t.Errorf("%s as %s: %v %s", what, format, err, d)
			}
		}
	}
}
