package main

import (
	"bytes"
	"context"
	"errors"
	"os"
	"slices"
	"strings"
	"testing"

	"github.com/spf13/cobra"

	"reconciler.dev/reconciler/pkg/reconcile"
	"reconciler.dev/reconciler/pkg/spec"
)

// TestEveryVerb holds each verb to what the others do: help that tells something, and a place in the list of verbs.
func TestEveryVerb(t *testing.T) {
	var all []string
	root := (&cli{getenv: func(string) string { return "" }}).root()
	var visit func(*cobra.Command)
	visit = func(cmd *cobra.Command) {
		all = append(all, strings.TrimPrefix(cmd.CommandPath(), "reconciler "))
		if cmd.Short == "" || strings.HasSuffix(cmd.Short, ".") {
			t.Errorf("%s: its line in the help is %q", cmd.CommandPath(), cmd.Short)
		}
		if cmd.HasParent() && cmd.RunE == nil {
			t.Errorf("%s does nothing", cmd.CommandPath())
		}
		for _, sub := range cmd.Commands() {
			visit(sub)
		}
	}
	visit(root)
	for _, verb := range []string{
		"apply", "delete", "describe", "diff", "events", "explain", "get", "logs", "plan", "restart", "rollout", "rollout history",
		"rollout undo", "rollout status", "run", "schema", "start", "stop", "validate", "version", "wait",
	} {
		if !slices.Contains(all, verb) {
			t.Errorf("there is no verb %s", verb)
		}
	}
}

func TestHelp(t *testing.T) {
	root := mustGetwd(t)
	d := newDesk(t)
	d.must(0, "--help")
	d.must(0, "apply", "--help")
	d.golden(root, "help")
}

func TestVersion(t *testing.T) {
	d := newDesk(t)
	if out, _ := d.must(0, "version"); !strings.HasPrefix(out, "reconciler ") {
		t.Errorf("version prints %q", out)
	}
	if out, _ := d.must(0, "version", "-o", "json"); !strings.Contains(out, `"goVersion": "go1`) {
		t.Errorf("version -o json prints %q", out)
	}
	for shell, word := range map[string]string{"bash": "complete", "zsh": "#compdef", "fish": "complete -c", "powershell": "Register-ArgumentCompleter"} {
		if out, _ := d.must(0, "completion", shell); !strings.Contains(out, word) {
			t.Errorf("completion %s prints no completion", shell)
		}
	}
}

// TestInterrupted says what a person sees who presses ^C while apply --wait waits.
func TestInterrupted(t *testing.T) {
	d := newDesk(t)
	ctx, cancel := context.WithCancelCause(t.Context())
	d.host.Probes(func(context.Context, string, spec.Health) error {
		cancel(interrupted{os.Interrupt})
		return errors.New("connection refused")
	})
	out, err := new(screen), new(screen)
	code := d.cli(out, err).main(ctx, []string{"apply", "-f", ".", "--wait"})
	if code != exitInterrupted {
		t.Errorf("exit %d, want %d", code, exitInterrupted)
	}
	err.shows(t, "daemon web on localhost: interrupted before it was settled (interrupted by ^C)", 1)
	err.shows(t, "ending after the step in hand", 1)
}

func TestColour(t *testing.T) {
	for _, c := range []struct {
		env  map[string]string
		want bool
	}{
		{nil, true},
		{map[string]string{"NO_COLOR": "1"}, false},
		{map[string]string{"TERM": "dumb"}, false},
	} {
		tty, err := os.OpenFile(os.DevNull, os.O_WRONLY, 0) // a character device, which is what is asked for
		if err != nil {
			t.Fatal(err)
		}
		got := (&cli{out: tty, getenv: func(k string) string { return c.env[k] }}).colour()
		if err := tty.Close(); err != nil {
			t.Fatal(err)
		}
		if got != c.want {
			t.Errorf("with %v: colour %v, want %v", c.env, got, c.want)
		}
	}
	if (&cli{out: new(bytes.Buffer), getenv: os.Getenv}).colour() {
		t.Error("a file gets colours")
	}
	want := "\x1b[1m--- a\x1b[m\n\x1b[36m@@ f @@\x1b[m\n\x1b[31m-1\x1b[m\n\x1b[32m+2\x1b[m\n# note\n"
	if got := string(paint([]byte("--- a\n@@ f @@\n-1\n+2\n# note\n"))); got != want {
		t.Errorf("paint = %q, want %q", got, want)
	}
}

func TestDaemonNames(t *testing.T) {
	got := daemonNames([]string{"web", "daemon/db", "daemon/web"})
	if want := []string{"web", "db"}; !slices.Equal(got, want) {
		t.Errorf("daemonNames = %v, want %v", got, want)
	}
}

func TestProgressLine(t *testing.T) {
	for want, p := range map[string]reconcile.Progress{
		"daemon/web: start":                   {Name: "web", Phase: "start"},
		"daemon/web: failed: a\\x1b[31m\n  b": {Name: "web", Phase: "failed", Message: "a\x1b[31m\nb"},
		"not loaded: web.yaml:1: it's broken": {Phase: "not loaded", Message: "web.yaml:1: it's broken"},
	} {
		if got := progressLine(p); got != want {
			t.Errorf("progressLine = %q, want %q", got, want)
		}
	}
}
