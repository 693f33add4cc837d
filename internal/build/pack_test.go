package build

import (
	"archive/tar"
	"bytes"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// folder has files, by their names; a content that begins with "x:" can be executed.
func folder(t *testing.T, files map[string]string) string {
	t.Helper()
	dir := t.TempDir()
	fill(t, dir, files)
	return dir
}

func fill(t *testing.T, dir string, files map[string]string) {
	t.Helper()
	for name, text := range files {
		path, mode := filepath.Join(dir, name), fs.FileMode(0o644)
		if strings.HasPrefix(text, "x:") {
			mode = 0o755
		}
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, []byte(text), mode); err != nil {
			t.Fatal(err)
		}
	}
}

// listed is what is in a folder.
func listed(t *testing.T, dir string) map[string]string {
	t.Helper()
	all := map[string]string{}
	err := filepath.WalkDir(dir, func(path string, e fs.DirEntry, err error) error {
		if err != nil || e.IsDir() {
			return err
		}
		text, err := os.ReadFile(path)
		info, infoErr := e.Info()
		if infoErr != nil {
			return infoErr
		}
		if isExecutable(info.Mode()) != strings.HasPrefix(string(text), "x:") {
			t.Errorf("%s has mode %v", path, info.Mode())
		}
		name, _ := filepath.Rel(dir, path)
		all[filepath.ToSlash(name)] = string(text)
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return all
}

func packed(t *testing.T, dir string, names ...string) []byte {
	t.Helper()
	var b bytes.Buffer
	if err := Pack(t.Context(), dir, names, &b); err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}

func TestPackIsTheSameForTheSame(t *testing.T) {
	files := map[string]string{"main.c": "one", "lib/a.c": "x:a"}
	one, two := folder(t, files), folder(t, files)
	if err := os.Chmod(filepath.Join(two, "main.c"), 0o600); err != nil {
		t.Fatal(err)
	}
	a, b := packed(t, one, "lib/a.c", "main.c"), packed(t, two, "lib/a.c", "main.c")
	if !bytes.Equal(a, b) {
		t.Error("two archives of the same differ")
	}
	if gone := packed(t, one, "lib/a.c", "main.c", "nothing"); !bytes.Equal(a, gone) {
		t.Error("a file that went is in it")
	}
}

func TestUnpack(t *testing.T) {
	dir := folder(t, map[string]string{"main.c": "one", "old/gone.c": "gone", "cache/x.o": "by the compiler", "lib/a.c": "a", "lib/b.c": "b"})
	before, err := os.Stat(filepath.Join(dir, "lib/a.c"))
	if err != nil {
		t.Fatal(err)
	}
	src := folder(t, map[string]string{"main.c": "two", "lib/a.c": "a", "lib/b.c": "x:b", "old": "a file now", "new/deep/c.c": "c"})
	names, err := Unpack(t.Context(), bytes.NewReader(packed(t, src, "lib/a.c", "lib/b.c", "main.c", "new/deep/c.c", "old")), dir, []string{"main.c", "old/gone.c", "../outside"})
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff([]string{"lib/a.c", "lib/b.c", "main.c", "new/deep/c.c", "old"}, names); diff != "" {
		t.Error(diff)
	}
	want := listed(t, src)
	want["cache/x.o"] = "by the compiler"
	if diff := cmp.Diff(want, listed(t, dir)); diff != "" {
		t.Error(diff)
	}
	after, err := os.Stat(filepath.Join(dir, "lib/a.c"))
	if err != nil || !os.SameFile(before, after) || !after.ModTime().Equal(before.ModTime()) {
		t.Errorf("what didn't change was written: %v", err)
	}
}

// TestUnpackStaysInItsFolder, whatever the archive says and whatever links lie there.
func TestUnpackStaysInItsFolder(t *testing.T) {
	outside := folder(t, map[string]string{"precious": "x"})
	for name, header := range map[string]tar.Header{
		"a name that leads out":   {Name: "../evil", Typeflag: tar.TypeReg},
		"an absolute name":        {Name: "/evil", Typeflag: tar.TypeReg},
		"a link":                  {Name: "evil", Linkname: outside, Typeflag: tar.TypeSymlink},
		"a way through a link":    {Name: "link/precious", Typeflag: tar.TypeReg},
		"a folder under a link":   {Name: "link/evil/x", Typeflag: tar.TypeReg},
		"a link in the way of it": {Name: "link", Typeflag: tar.TypeReg},
	} {
		t.Run(name, func(t *testing.T) {
			dir := t.TempDir()
			if err := os.Symlink(outside, filepath.Join(dir, "link")); err != nil {
				t.Fatal(err)
			}
			var b bytes.Buffer
			w := tar.NewWriter(&b)
			if err := w.WriteHeader(&header); err != nil {
				t.Fatal(err)
			}
			if err := w.Close(); err != nil {
				t.Fatal(err)
			}
			_, err := Unpack(t.Context(), bytes.NewReader(b.Bytes()), dir, []string{"link/precious"})
			if err == nil && header.Name != "link" {
				t.Error("no error")
			}
			if diff := cmp.Diff(map[string]string{"precious": "x"}, listed(t, outside)); diff != "" {
				t.Error(diff)
			}
		})
	}
}

// TestElsewhere: what a host built is noted here, by host.
func TestElsewhere(t *testing.T) {
	src := folder(t, map[string]string{"main.c": "one"})
	b := New(Options{Dir: filepath.Join(t.TempDir(), "builds")})
	j := Job{Name: "worker", Dir: src, Command: []string{"cc-that-is-only-there"}, Inputs: []string{"*.c"}, Output: "worker"}
	look := func(host, due string) Elsewhere {
		t.Helper()
		e, err := b.LookElsewhere(t.Context(), j, host)
		if err != nil || e.Due != due {
			t.Errorf("%s: %+v, %v; want %q", host, e, err, due)
		}
		return e
	}
	const never = "it was never built there from here"
	e := look("gpu-1", never)
	old, other := File{Path: "/usr/bin/cc", Digest: "sha256:c"}, File{Path: "/opt/bin/cc", Digest: "sha256:d"}
	for _, compiler := range []File{{}, old} {
		if err := b.NoteElsewhere(j, "gpu-1", e, File{Path: "/there", Digest: "sha256:x", Size: 3}, compiler, 0); err != nil {
			t.Fatal(err)
		}
		now := look("gpu-1", "")
		if now.Program != (File{Digest: "sha256:x", Size: 3}) || now.Digest != e.Digest {
			t.Errorf("%+v", now)
		}
		want := "/opt/bin/cc changed"
		if compiler.Digest == "" {
			want = "" // nobody noted which it was
		}
		if same, another := now.Recompiled(old), now.Recompiled(other); same != "" || another != want {
			t.Errorf("built by %+v: of the same compiler it says %q, of another one %q", compiler, same, another)
		}
	}
	look("gpu-2", never)
	fill(t, src, map[string]string{"main.c": "two"})
	if now := look("gpu-1", "main.c changed"); now.Digest == e.Digest {
		t.Error("the digest is the same")
	}
	f, err := b.PackInputs(t.Context(), j)
	if err != nil {
		t.Fatal(err)
	}
	if text, err := os.ReadFile(f.Path); err != nil || !bytes.Equal(text, packed(t, src, "main.c")) || f.Size != int64(len(text)) {
		t.Errorf("%+v has %d bytes, %v", f, len(text), err)
	}
}
