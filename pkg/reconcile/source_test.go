package reconcile

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"testing/iotest"
	"time"

	"github.com/google/go-cmp/cmp"

	"reconciler.dev/reconciler/pkg/spec"
)

const manifestOf = `apiVersion: reconciler.dev/v1
kind: DaemonSpec
metadata: {name: %s}
spec:
  binary: /bin/true
`

// sourceDir is a folder of manifests, and the source of it.
type sourceDir struct {
	t   *testing.T
	dir string
	src *FileSource
}

func newSourceDir(t *testing.T) sourceDir {
	t.Helper()
	dir := t.TempDir()
	s := sourceDir{t, dir, NewFileSource([]string{filepath.Join(dir, "manifests")}, FileOptions{
		Report: func(err error) { t.Errorf("reported: %v", err) },
	})}
	s.write("manifests/web.yaml", fmt.Sprintf(manifestOf, "web")+`
  files: [{path: /etc/web.conf, from: ../etc/web.conf}]
  env: {TOKEN: {fromFile: ../etc/token}}
`)
	s.write("etc/web.conf", "listen 80")
	s.write("etc/token", "hunter2")
	return s
}

// write saves a file as editors do: whoever reads it sees what was there or all of content.
func (s sourceDir) write(path, content string) {
	s.t.Helper()
	path = filepath.Join(s.dir, path)
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		s.t.Fatal(err)
	}
	whole := filepath.Join(s.t.TempDir(), "whole")
	if err := errors.Join(os.WriteFile(whole, []byte(content), 0o644), os.Rename(whole, path)); err != nil {
		s.t.Fatal(err)
	}
}

// load returns the names and digests of what the source declares.
func (s sourceDir) load() (names []string, digests string) {
	s.t.Helper()
	ds, err := s.src.Load(s.t.Context())
	if err != nil {
		s.t.Fatal(err)
	}
	for _, d := range ds {
		names = append(names, d.Name)
		digests += d.Digest + " "
	}
	return names, digests
}

// watch watches until the test ends, and returns what waits until changed is called.
func (s sourceDir) watch() (told func()) {
	s.t.Helper()
	ctx, cancel := context.WithCancel(context.Background())
	changes, ended := make(chan struct{}, 1), make(chan error, 1)
	go func() { ended <- s.src.Watch(ctx, func() { signal(changes) }) }()
	s.t.Cleanup(func() {
		cancel()
		if err := <-ended; !errors.Is(err, context.Canceled) {
			s.t.Errorf("Watch = %v", err)
		}
	})
	told = func() {
		s.t.Helper()
		select {
		case <-changes:
		case <-time.After(20 * time.Second):
			s.t.Fatal("no change was told")
		}
	}
	told() // that it is armed
	return told
}

func TestFileSourceTellsOfEverythingThatADaemonIsMadeOf(t *testing.T) {
	s := newSourceDir(t)
	told := s.watch()
	_, before := s.load()
	told() // the files that the manifest names may have changed before they were watched
	for _, change := range []struct{ path, content string }{
		{"etc/web.conf", "listen 81"},
		{"etc/token", "hunter3"},
		{"manifests/web.yaml", fmt.Sprintf(manifestOf, "web") + "  args: [--fast]\n"},
	} {
		s.write(change.path, change.content)
		told()
		_, after := s.load()
		if after == before {
			t.Errorf("%s changed, but the daemon's digest didn't", change.path)
		}
		before = after
	}
}

func TestFileSourceTellsOfNewManifests(t *testing.T) {
	s := newSourceDir(t)
	told := s.watch()
	s.write("manifests/db.yaml", fmt.Sprintf(manifestOf, "db"))
	told()
	if names, _ := s.load(); !slices.Equal(names, []string{"db", "web"}) {
		t.Errorf("declared: %v", names)
	}
}

func TestFileSourceTriesAgainWhatItCouldNotLoad(t *testing.T) {
	s := newSourceDir(t)
	s.src.every = time.Millisecond
	told := s.watch()
	s.write("manifests/web.yaml", strings.Replace(fmt.Sprintf(manifestOf, "web"), "/bin/true", "../bin/web", 1))
	told()
	if _, err := s.src.Load(t.Context()); err == nil || !strings.Contains(err.Error(), "not found") {
		t.Fatalf("Load = %v, want a binary that is not found", err)
	}
	s.write("bin/web", "") // nobody watches that
	if err := os.Chmod(filepath.Join(s.dir, "bin/web"), 0o755); err != nil {
		t.Fatal(err)
	}
	told()
	s.load()
}

func TestFileSourceReportsAllProblems(t *testing.T) {
	s := newSourceDir(t)
	s.write("manifests/bad.yaml", "kind: Nonsense\n")
	s.write("manifests/worse.yaml", "{")
	_, err := s.src.Load(t.Context())
	var ps spec.Problems
	if !errors.As(err, &ps) || !strings.Contains(err.Error(), "bad.yaml") || !strings.Contains(err.Error(), "worse.yaml") {
		t.Errorf("Load = %v", err)
	}
}

func TestFileSourceReadsStdinOnce(t *testing.T) {
	src := NewFileSource([]string{"-"}, FileOptions{Load: spec.LoadOptions{Stdin: strings.NewReader(fmt.Sprintf(manifestOf, "web"))}})
	for range 2 {
		if ds, err := src.Load(t.Context()); err != nil || len(ds) != 1 || ds[0].Name != "web" {
			t.Fatalf("Load = %v, %v", ds, err)
		}
	}
	broken := NewFileSource([]string{"-"}, FileOptions{Load: spec.LoadOptions{Stdin: iotest.ErrReader(errors.New("torn"))}})
	if _, err := broken.Load(t.Context()); err == nil || !strings.Contains(err.Error(), "read manifests from stdin: torn") {
		t.Errorf("Load = %v", err)
	}
}

func TestFileSourceEndsWithItsContext(t *testing.T) {
	s := newSourceDir(t)
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := s.src.Load(ctx); !errors.Is(err, context.Canceled) {
		t.Errorf("Load = %v", err)
	}
	if err := s.src.Watch(ctx, func() {}); !errors.Is(err, context.Canceled) {
		t.Errorf("Watch = %v", err)
	}
}

// scripted is a source that returns what a test says, one after the other.
type scripted struct {
	Source
	sets []string // names, or "!" and a problem
}

func (s *scripted) Load(context.Context) ([]*spec.Daemon, error) {
	set := s.sets[0]
	s.sets = s.sets[1:]
	if problem, ok := strings.CutPrefix(set, "!"); ok {
		return nil, errors.New(problem)
	}
	var ds []*spec.Daemon
	for n := range strings.FieldsSeq(set) {
		ds = append(ds, &spec.Daemon{Metadata: spec.Metadata{Name: n}})
	}
	return ds, nil
}

func TestLastGood(t *testing.T) {
	for _, tt := range []struct {
		name   string
		sets   []string
		want   []string // what each Load gives
		report []string // parts of what is reported
	}{
		{"good sets pass", []string{"a", "a b", ""}, []string{"a", "a b", ""}, nil},
		{"nothing to keep at first", []string{"!torn", "a"}, []string{"!torn", "a"}, nil},
		{"a broken one keeps the last", []string{"a b", "!torn"}, []string{"a b", "a b"}, []string{"keep the last good set (2: a, b)"}},
		{"a problem is reported once", []string{"a", "!torn", "!torn"}, []string{"a", "a", "a"}, []string{": torn"}},
		{"and another one again", []string{"a", "!torn", "!worn"}, []string{"a", "a", "a"}, []string{": torn", ": worn"}},
		{"and its end too", []string{"a", "!torn", "b", "!torn"}, []string{"a", "a", "b", "b"}, []string{": torn", "", ": torn"}},
		{"an empty set is one to keep", []string{"", "!torn"}, []string{"", ""}, []string{"set (0: )"}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			var reported []string
			src := LastGood(&scripted{sets: tt.sets}, func(err error) { reported = append(reported, fmt.Sprint(err)) })
			var got []string
			for range tt.sets {
				ds, err := src.Load(t.Context())
				set := fmt.Sprintf("!%v", err)
				if err == nil {
					set = strings.Join(namesOf(ds), " ")
				}
				got = append(got, set)
			}
			if diff := cmp.Diff(tt.want, got); diff != "" {
				t.Errorf("loaded (-want +got):\n%s", diff)
			}
			if len(reported) != len(tt.report) {
				t.Fatalf("reported %q, want %d", reported, len(tt.report))
			}
			for i, part := range tt.report {
				if !strings.Contains(reported[i], part) || part == "" && reported[i] != "<nil>" {
					t.Errorf("report %d is %q, want %q", i, reported[i], part)
				}
			}
		})
	}
}

func TestLastGoodDoesNotTakeAnEndForAProblem(t *testing.T) {
	src := LastGood(&scripted{sets: []string{"a", "!context canceled"}}, func(err error) { t.Errorf("reported %v", err) })
	ctx, cancel := context.WithCancel(t.Context())
	if _, err := src.Load(ctx); err != nil {
		t.Fatal(err)
	}
	cancel()
	if _, err := src.Load(ctx); err == nil {
		t.Error("a load that was cut off returned a set")
	}
}

func namesOf(ds []*spec.Daemon) []string {
	var all []string
	for _, d := range ds {
		all = append(all, d.Name)
	}
	return all
}
