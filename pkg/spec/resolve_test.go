package spec

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// program makes an executable file.
func program(t *testing.T, path string) {
	t.Helper()
	if err := os.WriteFile(path, []byte("#!/bin/true\n"), 0o755); err != nil {
		t.Fatal(err)
	}
}

func TestResolveFindsPrograms(t *testing.T) {
	dir := folder(t, map[string]string{"set/x": "", "set/target/release/x": "", "set/target/debug/x": "", "bin/plain": "not executable", "bin2/x": "", "bin/folder/x": ""})
	for _, p := range []string{"bin/tool", "bin2/tool", "bin2/plain", "set/beside", "set/tool", "here", "set/target/release/both", "set/target/debug/both", "set/both", "set/target/debug/debugged", "set/debugged"} {
		program(t, p)
	}
	path := dir + "/bin:relative::" + dir + "/bin2"
	tests := []struct {
		name, file, binary string
		want               string // below dir, or an error
	}{
		{"absolute, as it stands", "set/f.yaml", "/no/such//thing", "/no/such//thing"},
		{"in the path, the first", "set/f.yaml", "tool", "DIR/bin/tool"},
		{"not executable, then executable", "set/f.yaml", "plain", "DIR/bin2/plain"},
		{"beside the manifest", "set/f.yaml", "beside", "DIR/set/beside"},
		{"what is built for release, before all else beside the manifest", "set/f.yaml", "both", "DIR/set/target/release/both"},
		{"what is built for debugging, before the manifest's folder", "set/f.yaml", "debugged", "DIR/set/target/debug/debugged"},
		{"relative to the manifest", "set/f.yaml", "./tool", "DIR/set/tool"},
		{"relative to the manifest, upwards", "set/f.yaml", "../here", "DIR/here"},
		{"relative to an absolute manifest", dir + "/set/f.yaml", "../here", "DIR/here"},
		{"stdin, relative to where we are", "stdin", "./here", "DIR/here"},
		{"stdin, beside", "stdin", "here", "DIR/here"},
		{"nowhere", "set/f.yaml", "none", `set/f.yaml:5:11: spec.binary: "none" is not found: looked for DIR/bin/none, DIR/bin2/none, DIR/set/target/release/none, DIR/set/target/debug/none, DIR/set/none`},
		{"with a slash, nowhere", "set/f.yaml", "./none", `set/f.yaml:5:11: spec.binary: "./none" is not found: looked for DIR/set/none`},
		{"a folder", "set/f.yaml", "folder", `set/f.yaml:5:11: spec.binary: "folder" is not found: looked for DIR/bin/folder, DIR/bin2/folder, DIR/set/target/release/folder, DIR/set/target/debug/folder, DIR/set/folder`},
		{"not executable", "set/f.yaml", "./x", `set/f.yaml:5:11: spec.binary: "./x" is not executable: DIR/set/x is there, but lacks the permission (chmod +x)`},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			ms, err := Parse(tt.file, []byte(strings.Replace(head, "/bin/web", tt.binary, 1)+"  health: {exec: ["+tt.binary+", ping]}\n"))
			if err != nil {
				t.Fatal(err)
			}
			ds, err := Resolve(ms, ResolveOptions{Path: path})
			want := strings.ReplaceAll(tt.want, "DIR", dir)
			if err != nil {
				got, _, _ := strings.Cut(err.Error(), "\n")
				if diff := cmp.Diff(want, got); diff != "" {
					t.Error(diff)
				}
				return
			}
			if diff := cmp.Diff([]string{want, want, "ping"}, append([]string{ds[0].Spec.Binary}, ds[0].Spec.Health.Exec...)); diff != "" {
				t.Error(diff)
			}
			if ms[0].Spec.Binary != tt.binary || ms[0].Spec.Health.Exec[0] != tt.binary {
				t.Error("the manifest was changed")
			}
		})
	}
}

func TestResolveReadsSecretsAndContents(t *testing.T) {
	dir := folder(t, map[string]string{"set/token": "s3cret\n\n", "set/crlf": "s3cret\r\n", "set/conf": "port 1\n"})
	m := Manifest{File: "set/f.yaml", Line: 7}
	m.Metadata.Name = "web"
	content := "inline"
	m.Spec = Spec{
		Host:   "127.0.0.1",
		Binary: "/bin/web",
		Env: map[string]EnvVar{
			"PLAIN": {Value: &content, Digest: "ignored"}, "FILE": {FromFile: "token"}, "CRLF": {FromFile: dir + "/set/crlf"}, "ENV": {FromEnv: "X", Digest: "ignored"},
		},
		Files: []File{{Path: "/etc/a", Content: &content}, {Path: "/etc/b", From: "conf"}, {Path: "/etc/c", From: dir + "/set/conf", Digest: "ignored"}},
	}
	ds, err := Resolve([]Manifest{m}, ResolveOptions{LookupEnv: func(name string) (string, bool) { return "value of " + name, true }})
	if err != nil {
		t.Fatal(err)
	}
	got := ds[0]
	secrets := map[string]string{}
	for name, s := range got.Secrets {
		secrets[name] = s.Reveal()
	}
	if diff := cmp.Diff(map[string]string{"FILE": "s3cret\n", "CRLF": "s3cret", "ENV": "value of X"}, secrets); diff != "" {
		t.Errorf("secrets: %s", diff)
	}
	env := map[string]EnvVar{
		"PLAIN": {Value: &content},
		"FILE":  {FromFile: dir + "/set/token", Digest: digestSecret("web", "FILE", "s3cret\n")},
		"CRLF":  {FromFile: dir + "/set/crlf", Digest: digestSecret("web", "CRLF", "s3cret")},
		"ENV":   {FromEnv: "X", Digest: digestSecret("web", "ENV", "value of X")},
	}
	if diff := cmp.Diff(env, got.Spec.Env); diff != "" {
		t.Errorf("env: %s", diff)
	}
	inline, conf := digestOf([]byte(content)), digestOf([]byte("port 1\n"))
	if diff := cmp.Diff([]File{{Path: "/etc/a", Digest: inline}, {Path: "/etc/b", Digest: conf}, {Path: "/etc/c", Digest: conf}}, got.Spec.Files); diff != "" {
		t.Errorf("files: %s", diff)
	}
	if diff := cmp.Diff(map[string][]byte{inline: []byte(content), conf: []byte("port 1\n")}, got.Contents); diff != "" {
		t.Errorf("contents: %s", diff)
	}
	if got.Source != "set/f.yaml:7" || got.Spec.Host != "" || got.Digest != Digest(got.Metadata, got.Spec) {
		t.Errorf("%+v", got)
	}
	if m.Spec.Env["FILE"].Digest != "" || m.Spec.Files[0].Content == nil {
		t.Error("the manifest was changed")
	}
}

func TestResolveTellsEverythingThatIsMissing(t *testing.T) {
	dir := folder(t, map[string]string{"nul": "a\x00b", "dir/x": "", "big": "", "bigger": ""})
	for name, size := range map[string]int64{"big": maxSecret + 1, "bigger": maxContent + 1} {
		if err := os.Truncate(name, size); err != nil {
			t.Fatal(err)
		}
	}
	ms, err := Parse("f.yaml", []byte(strings.Replace(head, "/bin/web", "none", 1)+`
  health: {exec: [nothing]}
  env:
    A: {fromFile: nowhere}
    B: {fromFile: /dev/zero}
    C: {fromFile: nul}
    D: {fromFile: big}
    E: {fromFile: dir}
    F: {fromEnv: UNSET}
    G: {fromEnv: LARGE}
  files:
    - {path: /a, from: nowhere}
    - {path: /b, from: bigger}
    - {path: /c, from: /dev/zero}
`))
	if err != nil {
		t.Fatal(err)
	}
	_, err = Resolve(ms, ResolveOptions{LookupEnv: func(name string) (string, bool) {
		return strings.Repeat("x", maxSecret+1), name == "LARGE"
	}})
	want := `f.yaml:5:11: spec.binary: "none" is not found: looked for DIR/target/release/none, DIR/target/debug/none, DIR/none
f.yaml:7:19: spec.health.exec[0]: "nothing" is not found: looked for DIR/target/release/nothing, DIR/target/debug/nothing, DIR/nothing
f.yaml:9:8: spec.env[A]: read DIR/nowhere: no such file or directory
f.yaml:10:8: spec.env[B]: read /dev/zero: this is not a regular file
f.yaml:11:8: spec.env[C]: the secret holds a NUL, which no process can be given
f.yaml:12:8: spec.env[D]: read DIR/big: this has 65537 bytes: the most is 64 KiB
f.yaml:13:8: spec.env[E]: read DIR/dir: this is not a regular file
f.yaml:14:8: spec.env[F]: UNSET is not set in the environment of reconciler
f.yaml:15:8: spec.env[G]: LARGE in the environment is larger than 64 KiB
f.yaml:17:24: spec.files[0].from: read DIR/nowhere: no such file or directory
f.yaml:18:24: spec.files[1].from: read DIR/bigger: this has 1048577 bytes: the most is 1 MiB
f.yaml:19:24: spec.files[2].from: read /dev/zero: this is not a regular file`
	if diff := cmp.Diff(strings.ReplaceAll(want, "DIR", dir), fmt.Sprint(err)); diff != "" {
		t.Error(diff)
	}
}

func TestProgramsOfAnotherHostAreLookedUpThere(t *testing.T) {
	dir := folder(t, map[string]string{"token": "s3cret", "conf": "port 1\n"})
	program(t, "here")
	broken := errors.New("the link is down")
	there := func(name string) (string, error) {
		switch name {
		case "tool":
			return "/opt/bin/tool", nil
		case "odd":
			return "bin/odd", nil
		case "lost":
			return "", broken
		}
		return "", fmt.Errorf("look up %s in /usr/bin: %w", name, fs.ErrNotExist)
	}
	for _, tt := range []struct {
		name, binary string
		lookPath     func(string) (string, error)
		want         string // a path or an error
	}{
		{"a name is looked up", "tool", there, "/opt/bin/tool"},
		{"and isn't looked up without contact", "tool", nil, "tool"},
		{"an absolute path stands", "/no/such//thing", there, "/no/such//thing"},
		{"one of Windows too", `C:\bin\tool.exe`, there, `C:\bin\tool.exe`},
		{"what is here isn't there", "here", there, `f.yaml:5:11: spec.binary: "here" is not found on host gpu-1: look up here in /usr/bin: file does not exist`},
		{"nothing is beside the manifest there", "./here", nil, `f.yaml:5:11: spec.binary: "./here" is relative, and on host gpu-1 there is nothing beside this manifest: write the absolute path that it has there, or a name that is looked up in PATH there`},
		{"a path that can't be", "odd", there, `f.yaml:5:11: spec.binary: "odd" is found on host gpu-1 as "bin/odd", which is no absolute path`},
		{"what isn't known isn't absent", "lost", there, "the link is down"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			ms, err := Parse("f.yaml", []byte(strings.Replace(head, "/bin/web", "'"+tt.binary+"'", 1)+"  host: gpu-1\n  health: {exec: ['"+tt.binary+
				"', tool]}\n  env: {T: {fromFile: token}}\n  files: [{path: /etc/c, from: conf}]\n"))
			if err != nil {
				t.Fatal(err)
			}
			ds, err := Resolve(ms, ResolveOptions{Path: dir, Remote: &RemoteResolve{LookPath: tt.lookPath}})
			if err != nil {
				got, _, _ := strings.Cut(err.Error(), "\n")
				if diff := cmp.Diff(tt.want, got); diff != "" {
					t.Error(diff)
				}
				if tt.binary == "lost" && !errors.Is(err, broken) {
					t.Error("the error's kind is lost")
				}
				return
			}
			if diff := cmp.Diff([]string{tt.want, tt.want, "tool"}, append([]string{ds[0].Spec.Binary}, ds[0].Spec.Health.Exec...)); diff != "" {
				t.Error(diff)
			}
			if ds[0].Secrets["T"].Reveal() != "s3cret" || string(ds[0].Contents[ds[0].Spec.Files[0].Digest]) != "port 1\n" {
				t.Error("secrets and contents aren't those of this machine")
			}
		})
	}
}

func TestAProgramOfAnotherHostIsLookedUpOnce(t *testing.T) {
	var ms []Manifest
	for i := range 100 {
		ms = append(ms, Manifest{DaemonSpec: DaemonSpec{Metadata: Metadata{Name: fmt.Sprint("d", i)}, Spec: Spec{Binary: "tool", Health: &Health{Exec: []string{"tool"}}}}})
	}
	var asked atomic.Int32
	_, err := Resolve(ms, ResolveOptions{Remote: &RemoteResolve{LookPath: func(string) (string, error) {
		asked.Add(1)
		return "/bin/tool", nil
	}}})
	if err != nil || asked.Load() != 1 {
		t.Errorf("it was asked for %d times, %v", asked.Load(), err)
	}
}

// TestWhatIsForAnotherHostIsNeverResolvedHere keeps a manifest that nobody placed from being run on this machine.
func TestWhatIsForAnotherHostIsNeverResolvedHere(t *testing.T) {
	for lines, want := range map[string]string{
		"  host: gpu-1\n": "f.yaml:6:9: spec.host: gpu-1 is another machine, to which there is no connection here",
		"  hostSelector: {matchLabels: {gpu: a}}\n":   "f.yaml:6:17: spec.hostSelector: this is for the hosts that it chooses, and here is one machine only",
		"  host: localhost\n  args: [$(HOST_NAME)]\n": "",
	} {
		ms, err := Parse("f.yaml", []byte(head+lines))
		if err != nil {
			t.Fatal(err)
		}
		ds, err := Resolve(ms, ResolveOptions{})
		if want == "" && err == nil && len(ds) == 1 {
			continue
		}
		if diff := cmp.Diff(want, fmt.Sprint(err)); diff != "" {
			t.Error(diff)
		}
	}
}

func TestReviveIsTheSameDaemon(t *testing.T) {
	dir := folder(t, map[string]string{"token": "one"})
	m := parseOne(t, "  env: {A: a, T: {fromFile: token}}\n  files: [{path: /a, content: text}]\n  stop: {gracePeriod: 0s}\n")
	m.File = filepath.Join(dir, "f.yaml")
	ds, err := Resolve([]Manifest{m}, ResolveOptions{})
	if err != nil {
		t.Fatal(err)
	}
	stamp := stamped(t, ds[0])
	content := func(digest string) ([]byte, error) { return ds[0].Contents[digest], nil }
	again, err := Revive(stamp, content, nil)
	if err != nil {
		t.Fatal(err)
	}
	again.Source = ds[0].Source
	if diff := cmp.Diff(ds[0], again, cmp.AllowUnexported(Secret{})); diff != "" {
		t.Errorf("-resolved +revived:\n%s", diff)
	}

	if err := os.WriteFile("token", []byte("two"), 0o600); err != nil {
		t.Fatal(err)
	}
	changed, err := Revive(stamp, content, nil)
	if err != nil {
		t.Fatal(err)
	}
	if changed.Digest == again.Digest || changed.Secrets["T"].Reveal() != "two" || stamp.Spec.Env["T"].Digest != again.Spec.Env["T"].Digest {
		t.Error("a secret that changed is not seen, or the stamp was changed")
	}

	if err := os.Remove("token"); err != nil {
		t.Fatal(err)
	}
	_, err = Revive(stamp, func(string) ([]byte, error) { return nil, errors.New("lost") }, nil)
	want := "read the secret T of daemon web: read " + dir + "/token: no such file or directory\nread the content of /a of daemon web: lost"
	if diff := cmp.Diff(want, fmt.Sprint(err)); diff != "" {
		t.Error(diff)
	}
}
