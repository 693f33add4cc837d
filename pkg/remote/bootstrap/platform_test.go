//go:build unix

package bootstrap_test

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"reconciler.dev/reconciler/pkg/remote/bootstrap"
)

// folderOf is a folder of agents: a file for each name, with the content of a stand-in of that version.
func folderOf(t *testing.T, files map[string]string) string {
	t.Helper()
	dir := t.TempDir()
	for name, version := range files {
		if err := os.Symlink(programs(t).version(version), filepath.Join(dir, name)); err != nil {
			t.Fatal(err)
		}
	}
	return dir
}

func TestHostOfAnotherPlatformIsRemembered(t *testing.T) {
	h := newShellHost(t, "dash")
	h.tool("uname", `case $1 in -m) echo aarch64 ;; -s) echo FreeBSD ;; *) echo elsewhere ;; esac`)
	opts := optionsFor(t, folderOf(t, map[string]string{"reconciler-freebsd-arm64": "two"}))
	opts.Cache = bootstrap.Cache(t.TempDir())
	for i, want := range [][]string{{"agent", "probe", "agent", "probe", "copy", "agent"}, {"agent"}, {"agent"}} {
		g, err := h.start(opts)
		if err != nil {
			t.Fatal(err)
		}
		if got := h.asked(); g.version != "two" || !slices.Equal(got, want) {
			t.Errorf("start %d: version %s by %q, want two by %q", i, g.version, got, want)
		}
	}

	h.tool("uname", `case $1 in -m) uname=/usr/bin/uname; exec /usr/bin/uname -m ;; *) exec /usr/bin/uname "$@" ;; esac`) // another machine under the same name
	if err := os.RemoveAll(filepath.Join(h.home, ".cache")); err != nil {
		t.Fatal(err)
	}
	for i, want := range [][]string{{"agent", "probe", "agent", "probe", "copy", "agent"}, {"agent"}} {
		g, err := h.start(opts)
		if err != nil {
			t.Fatal(err)
		}
		if got := h.asked(); g.version != "one" || !slices.Equal(got, want) {
			t.Errorf("start %d: version %s by %q, want one by %q", i, g.version, got, want)
		}
	}
}

func TestRememberedPlatformWithoutAnAgentIsLookedAtAgain(t *testing.T) {
	h := newShellHost(t, "dash")
	opts := optionsFor(t)
	opts.Cache = bootstrap.Cache(t.TempDir())
	h.tool("uname", `[ "$1" = -m ] && echo riscv64 || echo Linux`)
	p := h.problem(opts, bootstrap.NoBinary, "the host is linux/riscv64", "hack/agents.sh linux/riscv64", "RECONCILER_AGENTS")
	if !errors.Is(p, fs.ErrNotExist) && !strings.Contains(p.Error(), "reconciler-linux-riscv64") {
		t.Errorf("got %v", p)
	}
	h.tool("uname", `exec /usr/bin/uname "$@"`)
	if g, err := h.start(opts); err != nil || g.version != "one" {
		t.Errorf("version %q, %v", g.version, err)
	}
}

func TestControllerWithoutAnAgentForItsOwnPlatform(t *testing.T) {
	h := newShellHost(t, "dash")
	opts := optionsFor(t)
	opts.Binaries = bootstrap.NewBinaries("", "")
	h.problem(opts, bootstrap.NoBinary, "the host is "+bootstrap.Own().String(), "in no folder")
	opts.Binaries = bootstrap.NewBinaries("", "", folderOf(t, map[string]string{bootstrap.Own().File(): "two"}))
	if g, err := h.start(opts); err != nil || g.version != "two" {
		t.Errorf("version %q, %v", g.version, err)
	}
}

func TestBinaries(t *testing.T) {
	own := bootstrap.Own()
	one := programs(t).version("one")
	t.Run("this program stands for its own platform", func(t *testing.T) {
		b, err := bootstrap.NewBinaries(one, "", folderOf(t, map[string]string{own.File(): "two"})).For(own)
		if err != nil || b.File != one {
			t.Errorf("%+v, %v", b, err)
		}
	})
	t.Run("but not where it needs libraries and a folder has one that doesn't", func(t *testing.T) {
		dir := folderOf(t, map[string]string{own.File(): "two"})
		b, err := bootstrap.NewBinaries("/bin/sh", "", dir).For(own)
		if err != nil || b.File != filepath.Join(dir, own.File()) {
			t.Errorf("%+v, %v", b, err)
		}
		if b, err = bootstrap.NewBinaries("/bin/sh", "").For(own); err != nil || b.File != "/bin/sh" {
			t.Errorf("%+v, %v", b, err)
		}
	})
	t.Run("others come from the first folder that has them", func(t *testing.T) {
		arm := bootstrap.Platform{OS: "linux", Arch: "arm64"}
		first, second := folderOf(t, nil), folderOf(t, map[string]string{arm.File(): "arm"})
		b, err := bootstrap.NewBinaries(one, "", "", first, second).For(arm)
		if err != nil || b.File != filepath.Join(second, arm.File()) {
			t.Errorf("%+v, %v", b, err)
		}
		if _, err := bootstrap.NewBinaries(one, "", first).For(arm); !errors.Is(err, fs.ErrNotExist) || !strings.Contains(err.Error(), first) || !strings.Contains(err.Error(), "hack/agents.sh linux/arm64") {
			t.Errorf("got %v", err)
		}
		if err := os.Mkdir(filepath.Join(first, arm.File()), 0o700); err != nil {
			t.Fatal(err)
		}
		if _, err := bootstrap.NewBinaries(one, "", first).For(arm); err == nil || !strings.Contains(err.Error(), "is no file") {
			t.Errorf("got %v", err)
		}
	})
	t.Run("a remembered hash is that of the file as it is", func(t *testing.T) {
		cache := bootstrap.Cache(t.TempDir())
		path := filepath.Join(t.TempDir(), "agent")
		var hashes []string
		for _, text := range []string{"aaaa", "aaaa", "bbbb", "cc"} {
			if old, err := os.ReadFile(path); err != nil || string(old) != text {
				if err := os.WriteFile(path+".new", []byte(text), 0o700); err != nil {
					t.Fatal(err)
				}
				if err := os.Rename(path+".new", path); err != nil {
					t.Fatal(err)
				}
			}
			b, err := bootstrap.NewBinaries(path, cache).For(own)
			if err != nil {
				t.Fatal(err)
			}
			hashes = append(hashes, b.Hash[:8])
		}
		if want := []string{"61be55a8", "61be55a8", "81cc5b17", "355b1bbf"}; !slices.Equal(hashes, want) {
			t.Errorf("got %q, want %q", hashes, want)
		}
	})
	t.Run("where a program looks for them", func(t *testing.T) {
		want := []string{"/x", "/usr/bin/agents", "/usr/lib/reconciler/agents"}
		if got := bootstrap.Folders("/usr/bin/reconciler", "/x"); !slices.Equal(got, want) {
			t.Errorf("got %q, want %q", got, want)
		}
	})
}

func TestCacheThatLiesOnlyCostsACommand(t *testing.T) {
	dir := t.TempDir()
	h := newShellHost(t, "dash")
	opts := optionsFor(t)
	opts.Cache = bootstrap.Cache(dir)
	opts.Binaries = bootstrap.NewBinaries(programs(t).version("one"), opts.Cache)
	if _, err := h.start(opts); err != nil {
		t.Fatal(err)
	}
	err := filepath.WalkDir(dir, func(path string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		return os.WriteFile(path, []byte("\x00\xff/../../ nonsense\n"), 0o600)
	})
	if err != nil {
		t.Fatal(err)
	}
	opts.Binaries = bootstrap.NewBinaries(programs(t).version("one"), opts.Cache)
	if g, err := h.start(opts); err != nil || g.version != "one" {
		t.Errorf("version %q, %v", g.version, err)
	}
	opts.Cache = bootstrap.Cache("/dev/null/nowhere")
	opts.Binaries = bootstrap.NewBinaries(programs(t).version("one"), opts.Cache)
	if _, err := h.start(opts); err != nil {
		t.Errorf("a cache that can't be: %v", err)
	}
}

func TestCheckPath(t *testing.T) {
	for _, good := range []string{"/opt/reconciler", "~/bin/agent", "/a/b_c-d+e.f/1", "C:/reconciler/agent.exe", `C:\reconciler\agent.exe`} {
		if err := bootstrap.CheckPath(good); err != nil {
			t.Error(err)
		}
	}
	for _, bad := range []string{"", "agent", "./agent", "~alice/agent", "~", "/opt/my agent", "/opt/$HOME", "/opt/`id`", "/opt/a;b", "/opt/a'b", `/opt/a"b`, "/opt/a\nb", "/opt/é", "-x", "/opt/*", "/opt/!1", "/opt/{a,b}", "/opt/a|b", "/opt/a\x00", "/opt/%1", "/opt/#"} {
		if err := bootstrap.CheckPath(bad); err == nil {
			t.Errorf("%q is taken for a path that every shell reads alike", bad)
		}
		h := newShellHost(t, "dash")
		for _, policy := range []bootstrap.Policy{bootstrap.Auto, bootstrap.Never} {
			opts := optionsFor(t)
			opts.Path, opts.Install = bad, policy
			if bad == "" {
				continue
			}
			if _, err := h.start(opts); err == nil || len(h.asked()) > 0 {
				t.Errorf("%q was used: %v", bad, err)
			}
		}
	}
}
