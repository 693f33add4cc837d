//go:build linux

package logfile

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// places are a directory on a file system that collapses ranges (where the tests' one does) and one on a file system that only punches holes.
func places(t *testing.T) map[string]string {
	t.Helper()
	memory, err := os.MkdirTemp("/dev/shm", "logfile")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := os.RemoveAll(memory); err != nil {
			t.Error(err)
		}
	})
	return map[string]string{"disk": t.TempDir(), "memory": memory}
}

// appendTo opens a log as a driver does for its daemon.
func appendTo(t *testing.T, path string) *os.File {
	t.Helper()
	f, err := os.OpenFile(path, os.O_WRONLY|os.O_APPEND|os.O_CREATE, 0o640)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { f.Close() })
	return f
}

// numberedLines are lines of uneven length that tell their numbers.
func numberedLines(from, to int) string {
	var b strings.Builder
	for i := from; i < to; i++ {
		fmt.Fprintf(&b, "line %d %s\n", i, strings.Repeat("x", i%97))
	}
	return b.String()
}

func write(t *testing.T, f *os.File, text string) {
	t.Helper()
	if _, err := f.WriteString(text); err != nil {
		t.Fatal(err)
	}
}

func readAll(t *testing.T, path string) string {
	t.Helper()
	r, err := Open(path)
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	text, err := io.ReadAll(r)
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}

func rotate(t *testing.T, path string, limit int64, keep int) bool {
	t.Helper()
	done, err := Rotate(path, limit, keep)
	if err != nil {
		t.Fatal(err)
	}
	return done
}

func TestRotationKeepsEveryByteAndTheWriter(t *testing.T) {
	for where, dir := range places(t) {
		t.Run(where, func(t *testing.T) {
			path := filepath.Join(dir, "web.log")
			f := appendTo(t, path)
			for i := range 5 {
				write(t, f, numberedLines(i*1000, i*1000+1000))
				if !rotate(t, path, 10_000, 9) {
					t.Fatal("a log above its limit wasn't rotated")
				}
				if got, want := readAll(t, path), numberedLines(0, i*1000+1000); got != want {
					t.Fatalf("after rotation %d the stream has %d bytes, want %d", i, len(got), len(want))
				}
			}
			if n := len(numbered(path)); n != 5 {
				t.Errorf("%d rotated files, want 5", n)
			}
			now, err := look(f)
			if err != nil {
				t.Fatal(err)
			}
			if room := now.size - now.base; room > 2*now.block {
				t.Errorf("%d bytes are left in the log", room)
			}
			for _, name := range numbered(path) {
				if info, err := os.Stat(name); err != nil || info.Mode().Perm() != 0o640 {
					t.Errorf("%s: %v, %v; want the log's own mode", name, info.Mode(), err)
				}
			}
		})
	}
}

func TestRotationKeepsAsManyAsAskedFor(t *testing.T) {
	for _, keep := range []int{0, 1, 2} {
		path := filepath.Join(t.TempDir(), "web.log")
		f := appendTo(t, path)
		for i := range 4 {
			write(t, f, numberedLines(i*500, i*500+500))
			rotate(t, path, 5000, keep)
		}
		if n := len(numbered(path)); n != keep {
			t.Errorf("keep %d: %d files", keep, n)
		}
		if all, got := numberedLines(0, 2000), readAll(t, path); !strings.HasSuffix(all, got) || got == "" || len(got) > 30_000*(keep+1) {
			t.Errorf("keep %d: what is left isn't the end of the stream: %d bytes", keep, len(got))
		}
	}
	path := filepath.Join(t.TempDir(), "web.log")
	f := appendTo(t, path)
	for i, keep := range []int{4, 4, 4, 4, 1} {
		write(t, f, numberedLines(i*500, i*500+500))
		rotate(t, path, 5000, keep)
	}
	if n := len(numbered(path)); n != 1 {
		t.Errorf("%d files are left after the limit was lowered to 1", n)
	}
}

func TestRotationLeavesAloneWhatNeedsNone(t *testing.T) {
	dir := t.TempDir()
	if rotate(t, filepath.Join(dir, "missing"), 0, 3) {
		t.Error("nothing was rotated")
	}
	path := filepath.Join(dir, "small")
	write(t, appendTo(t, path), "a few\nlines\n")
	for _, limit := range []int64{0, 12, 1 << 20} {
		if rotate(t, path, limit, 3) {
			t.Errorf("limit %d: less than a block was rotated", limit)
		}
	}
	if err := os.Symlink(path, filepath.Join(dir, "link")); err != nil {
		t.Fatal(err)
	}
	if _, err := Rotate(filepath.Join(dir, "link"), 0, 3); err == nil {
		t.Error("a symbolic link was followed")
	}
	if got := readAll(t, path); got != "a few\nlines\n" {
		t.Errorf("the log holds %q", got)
	}
}

func TestPositionsOutliveRotation(t *testing.T) {
	for where, dir := range places(t) {
		t.Run(where, func(t *testing.T) {
			path := filepath.Join(dir, "web.log")
			f := appendTo(t, path)
			var marks []int64
			for i := range 4 {
				p, err := Position(f)
				if err != nil {
					t.Fatal(err)
				}
				marks = append(marks, p)
				write(t, f, numberedLines(i*500, i*500+500))
				rotate(t, path, 5000, 9)
			}
			r, err := Open(path)
			if err != nil {
				t.Fatal(err)
			}
			defer r.Close()
			for i, p := range marks {
				r.GoTo(p)
				var head [32]byte
				if _, err := io.ReadFull(r, head[:]); err != nil || !bytes.HasPrefix(head[:], fmt.Appendf(nil, "line %d ", i*500)) {
					t.Errorf("at the mark before line %d stands %q (%v)", i*500, head, err)
				}
			}
		})
	}
}

func TestFollowLosesAndRepeatsNothingUnderRotation(t *testing.T) {
	for where, dir := range places(t) {
		t.Run(where, func(t *testing.T) {
			path := filepath.Join(dir, "web.log")
			r, err := Open(path) // before there is a log
			if err != nil {
				t.Fatal(err)
			}
			defer r.Close()
			const lines = 20_000
			want := numberedLines(0, lines)
			ctx, cancel := context.WithTimeout(t.Context(), 30*time.Second)
			defer cancel()
			got := &upTo{n: len(want), enough: cancel}
			done := make(chan error, 1)
			go func() { done <- r.Follow(ctx, got) }()
			f := appendTo(t, path)
			for i := 0; i < lines; i += 50 {
				write(t, f, numberedLines(i, i+50))
				if i%500 == 0 {
					rotate(t, path, 8192, 1000)
				}
			}
			if err := <-done; !errors.Is(err, context.Canceled) {
				t.Fatalf("followed %d bytes of %d: %v", len(got.all), len(want), err)
			}
			if string(got.all) != want {
				t.Errorf("what was followed differs from what was written")
			}
			if n := len(numbered(path)); n < 10 {
				t.Errorf("only %d rotations happened", n)
			}
		})
	}
}

// upTo collects what is written and says when it is enough.
type upTo struct {
	all    []byte
	n      int
	enough func()
}

func (u *upTo) Write(p []byte) (int, error) {
	u.all = append(u.all, p...)
	if len(u.all) >= u.n {
		u.enough()
	}
	return len(p), nil
}

func TestFollowGoesOverToAFileMadeAnew(t *testing.T) {
	path := filepath.Join(t.TempDir(), "web.log")
	f := appendTo(t, path)
	write(t, f, "old\n")
	r, err := Open(path)
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	ctx, cancel := context.WithTimeout(t.Context(), 30*time.Second)
	defer cancel()
	got := &upTo{n: len("old\nnew\n"), enough: cancel}
	done := make(chan error, 1)
	go func() { done <- r.Follow(ctx, got) }()
	if err := os.Rename(path, path+".1"); err != nil { // as logrotate does
		t.Fatal(err)
	}
	write(t, appendTo(t, path), "new\n")
	if err := <-done; !errors.Is(err, context.Canceled) || string(got.all) != "old\nnew\n" {
		t.Errorf("followed %q: %v", string(got.all), err)
	}
}

func TestReadBeginsAnewAfterATruncation(t *testing.T) {
	path := filepath.Join(t.TempDir(), "web.log")
	f := appendTo(t, path)
	write(t, f, numberedLines(0, 10))
	r, err := Open(path)
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	if _, err := io.Copy(io.Discard, r); err != nil {
		t.Fatal(err)
	}
	if err := f.Truncate(0); err != nil {
		t.Fatal(err)
	}
	write(t, f, "anew\n")
	if got, err := io.ReadAll(r); err != nil || string(got) != "anew\n" {
		t.Errorf("read %q, %v", got, err)
	}
}

func TestRemoveTakesAllThatIsTheLogs(t *testing.T) {
	dir := t.TempDir()
	path := filepath.Join(dir, "web.log")
	f := appendTo(t, path)
	for i := range 3 {
		write(t, f, numberedLines(i*500, i*500+500))
		rotate(t, path, 5000, 9)
	}
	for _, other := range []string{"web.log.gz", "web.log.1.gz", "api.log", "web.log.1x"} {
		if err := os.WriteFile(filepath.Join(dir, other), nil, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	for range 2 {
		if err := Remove(path); err != nil {
			t.Fatal(err)
		}
	}
	left, err := filepath.Glob(filepath.Join(dir, "*"))
	if err != nil {
		t.Fatal(err)
	}
	hidden, err := filepath.Glob(filepath.Join(dir, ".*"))
	if err != nil {
		t.Fatal(err)
	}
	if len(left) != 4 || len(hidden) != 0 {
		t.Errorf("left are %q %q", left, hidden)
	}
}
