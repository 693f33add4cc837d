package systemd

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"reconciler.dev/reconciler/pkg/drivers"
)

const listening = `
apiVersion: reconciler.dev/v1
kind: DaemonSpec
metadata: {name: web}
spec:
  binary: /usr/bin/web
  user: www-data
  umask: "0007"
  listen: ["tcp://0.0.0.0:8080", "tcp://:443", "tcp://[::1]:53", "unix:///run/web/100% web.sock"]
`

// TestSocketUnits are all units of a daemon with sockets, one after the other.
func TestSocketUnits(t *testing.T) {
	for name, f := range map[string]Facts{"sockets-252.golden": factsOf(252, false), "sockets-252-user.golden": factsOf(252, true)} {
		t.Run(name, func(t *testing.T) {
			d := daemonOf(t, listening)
			u, err := Render(d, stampOf1(d), f)
			if err != nil {
				t.Fatal(err)
			}
			settings, _, _ := split(u.Text)
			var b strings.Builder
			for _, line := range strings.SplitAfter(string(settings), "\n") {
				if key, _, _ := strings.Cut(line, "="); strings.Contains("Requires Sockets ExecStart", key) && line != "\n" {
					b.WriteString(line)
				}
			}
			for _, s := range u.Sockets {
				b.WriteString("\n# " + s.Name + "\n" + string(s.Text))
			}
			b.WriteString("\n# " + waitUnit + "\n" + string(waitText()))
			path := filepath.Join("testdata", name)
			if *update {
				if err := os.WriteFile(path, []byte(b.String()), 0o644); err != nil {
					t.Fatal(err)
				}
			}
			want, err := os.ReadFile(path)
			if err != nil {
				t.Fatal(err)
			}
			if d := cmp.Diff(string(want), b.String()); d != "" {
				t.Errorf("(-want +got):\n%s", d)
			}
		})
	}
}

// TestOneSocketNeedsNoTool: only the order of many is ours to see to.
func TestOneSocketNeedsNoTool(t *testing.T) {
	d := daemonOf(t, strings.Replace(listening, `, "tcp://:443", "tcp://[::1]:53", "unix:///run/web/100% web.sock"`, "", 1))
	u, err := Render(d, stampOf1(d), factsOf(252, false))
	if err != nil || u.UsesTool || len(u.Sockets) != 1 {
		t.Errorf("%v, uses the tool %v, %d sockets", err, u.UsesTool, len(u.Sockets))
	}
}

func TestSocketsThatSystemdCantHave(t *testing.T) {
	for _, path := range []string{"/run/a\nb", "/run/a\x01", "/run/\xff", "/run/ends in space ", `/run/ends in \`} {
		d := daemonOf(t, listening)
		d.Spec.Listen = []string{"unix://" + path}
		if _, err := Render(d, stampOf1(d), factsOf(252, false)); !errors.Is(err, drivers.ErrUnsupported) || !strings.Contains(err.Error(), "spec.listen[0]") {
			t.Errorf("%q: got %v", path, err)
		}
	}
}

func TestParts(t *testing.T) {
	text := sealPart([]byte("[Socket]\nListenStream=1\n"), "web")
	for name, tt := range map[string]struct {
		text         string
		daemon       string
		ours, intact bool
	}{
		"as written":     {string(text), "web", true, true},
		"edited":         {"# mine\n" + string(text), "web", true, false},
		"somebody's":     {"[Socket]\nListenStream=1\n", "", false, false},
		"nothing":        {"", "", false, false},
		"a daemon's own": {"[Service]\n\n" + Section + "\nSettings=x\n", "", false, false},
	} {
		if daemon, ours, intact := ParsePart([]byte(tt.text)); daemon != tt.daemon || ours != tt.ours || intact != tt.intact {
			t.Errorf("%s: got %q, ours %v, intact %v", name, daemon, ours, intact)
		}
	}
	if s, err := ParseStamp(text); s != nil || err != nil {
		t.Errorf("a part is taken for a daemon: %v, %v", s, err)
	}
}
