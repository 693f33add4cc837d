//go:build unix

package main

import (
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// agents runs hack/agents.sh with a go that writes what it was asked for, in place of a program.
func agents(t *testing.T, env []string, args ...string) (said string, ok bool) {
	t.Helper()
	m := newMachine(t, "1000", "")
	for _, tool := range []string{"mkdir", "mv", "dirname"} {
		real, err := exec.LookPath(tool)
		if err != nil {
			t.Fatal(err)
		}
		if err := os.Symlink(real, filepath.Join(m.bin, tool)); err != nil {
			t.Fatal(err)
		}
	}
	m.add(t, "git", "echo v1.2.3")
	m.add(t, "go", `for a; do [ "$last" != -o ] || out=$a; last=$a; done
echo "$GOOS $GOARCH ${GOARM:-} $CGO_ENABLED flags=${GOFLAGS:-}: $*" >"$out"`)
	cmd := exec.Command("/bin/sh", append([]string{"../agents.sh"}, args...)...)
	cmd.Env = append([]string{"PATH=" + m.bin}, env...)
	out, err := cmd.CombinedOutput()
	return string(out), err == nil
}

func TestAgentsAreOneStaticProgramForEachPlatform(t *testing.T) {
	folder := filepath.Join(t.TempDir(), "agents")
	if said, ok := agents(t, []string{"GOFLAGS=-race"}, "-o", folder); !ok {
		t.Fatal(said)
	}
	asked := map[string]string{}
	entries, err := os.ReadDir(folder)
	if err != nil {
		t.Fatal(err)
	}
	for _, e := range entries {
		text, err := os.ReadFile(filepath.Join(folder, e.Name()))
		if err != nil {
			t.Fatal(err)
		}
		goos, rest, _ := strings.Cut(string(text), ": ")
		asked[e.Name()] = goos
		if want := "build -trimpath -buildvcs=false -ldflags -s -w -X main.version=v1.2.3 -o " + filepath.Join(folder, e.Name()) + ".part ./cmd/reconciler\n"; rest != want {
			t.Errorf("%s: go was asked to %s, want %s", e.Name(), rest, want)
		}
	}
	want := map[string]string{
		"reconciler-linux-amd64":       "linux amd64  0 flags=",
		"reconciler-linux-arm64":       "linux arm64  0 flags=",
		"reconciler-linux-armv7":       "linux arm 7 0 flags=",
		"reconciler-darwin-amd64":      "darwin amd64  0 flags=",
		"reconciler-darwin-arm64":      "darwin arm64  0 flags=",
		"reconciler-windows-amd64.exe": "windows amd64  0 flags=",
	}
	if d := cmp.Diff(want, asked); d != "" {
		t.Error(d)
	}
}

func TestAgentsOfOnePlatformAndVersion(t *testing.T) {
	folder := t.TempDir()
	said, ok := agents(t, []string{"VERSION=v9"}, "-o", folder, "linux/riscv64")
	if file := filepath.Join(folder, "reconciler-linux-riscv64"); !ok || said != file+"\n" {
		t.Errorf("ok %v, said %q", ok, said)
	} else if text, err := os.ReadFile(file); err != nil || !strings.Contains(string(text), "main.version=v9") {
		t.Errorf("%s %v", text, err)
	}
}

func TestAgentsRefuseWhatIsNoPlatform(t *testing.T) {
	for _, args := range [][]string{{"linux"}, {"linux/"}, {"/arm64"}, {"linux/arm/v7"}, {"linux/../../x"}, {"Linux/AMD64"}, {"-x"}, {"-o"}} {
		if said, ok := agents(t, nil, args...); ok || !strings.Contains(said, "hack/agents.sh") {
			t.Errorf("%q: ok %v, said %q", args, ok, said)
		}
	}
}
