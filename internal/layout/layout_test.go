package layout

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

func TestDefault(t *testing.T) {
	for _, c := range []struct {
		name string
		uid  int
		env  map[string]string
		want Dirs
		err  string
	}{
		{name: "root uses the file system hierarchy whatever the environment says", env: map[string]string{"XDG_STATE_HOME": "/x"},
			want: Dirs{State: "/var/lib/reconciler", Run: "/run/reconciler", Log: "/var/log/reconciler"}},
		{name: "a user uses XDG_STATE_HOME", uid: 1000, env: map[string]string{"XDG_STATE_HOME": "/x", "HOME": "/h"},
			want: Dirs{State: "/x/reconciler", Run: "/x/reconciler/run", Log: "/x/reconciler/log"}},
		{name: "or .local/state", uid: 1000, env: map[string]string{"HOME": "/h", "XDG_RUNTIME_DIR": "/run/user/1000"},
			want: Dirs{State: "/h/.local/state/reconciler", Run: "/h/.local/state/reconciler/run", Log: "/h/.local/state/reconciler/log"}},
		{name: "a relative XDG_STATE_HOME is ignored", uid: 1000, env: map[string]string{"XDG_STATE_HOME": "x", "HOME": "/h"},
			want: Dirs{State: "/h/.local/state/reconciler", Run: "/h/.local/state/reconciler/run", Log: "/h/.local/state/reconciler/log"}},
		{name: "a user without a home is told what to set", uid: 1000, err: "--state-dir"},
	} {
		t.Run(c.name, func(t *testing.T) {
			got, err := Default(func(k string) string { return c.env[k] }, c.uid)
			if c.err != "" {
				if err == nil || !strings.Contains(err.Error(), c.err) {
					t.Fatalf("error %v, want one with %q", err, c.err)
				}
				return
			}
			if err != nil {
				t.Fatal(err)
			}
			if d := cmp.Diff(c.want, got); d != "" {
				t.Error(d)
			}
		})
	}
}

func TestSearchPath(t *testing.T) {
	for _, c := range []struct {
		name string
		uid  int
		env  map[string]string
		want string
	}{
		{"root", 0, map[string]string{"HOME": "/root", "PATH": "/usr/sbin:/usr/local/bin:/bin"}, "/usr/local/bin:/root/.local/bin:/usr/sbin:/bin"},
		{"somebody", 1000, map[string]string{"HOME": "/h", "PATH": "/usr/bin:bin::/bin/:/bin"}, "/h/.local/bin:/usr/bin:/bin"},
		{"somebody without a home", 1000, map[string]string{"PATH": "/bin"}, "/bin"},
		{"where it is said", 0, map[string]string{"RECONCILER_INSTALL_DIR": "/opt/bin", "PATH": "/bin"}, "/opt/bin:/bin"},
		{"where nothing is known", 1000, nil, ""},
	} {
		if got := SearchPath(func(k string) string { return c.env[k] }, c.uid); got != c.want {
			t.Errorf("%s: %q, want %q", c.name, got, c.want)
		}
	}
}

func TestMake(t *testing.T) {
	d := Under(filepath.Join(t.TempDir(), "a", "b"))
	for range 2 {
		if err := d.Make(); err != nil {
			t.Fatal(err)
		}
	}
	for path, want := range map[string]os.FileMode{d.State: 0o711, d.Run: 0o700, d.Log: 0o755} {
		fi, err := os.Stat(path)
		if err != nil {
			t.Fatal(err)
		}
		if got := fi.Mode().Perm(); got != want {
			t.Errorf("%s has mode %v, want %v", path, got, want)
		}
	}
	if err := Under("/dev/null/x").Make(); err == nil || !strings.Contains(err.Error(), "--state-dir") {
		t.Errorf("error %v doesn't say what to do", err)
	}
}
