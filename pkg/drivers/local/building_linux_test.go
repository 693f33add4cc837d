package local

import (
	"bytes"
	"context"
	"errors"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"reconciler.dev/reconciler/internal/build"
	"reconciler.dev/reconciler/pkg/drivers"
	"reconciler.dev/reconciler/pkg/spec"
)

// workbench is where somebody who has sources has them built on a host.
type workbench struct {
	*Host
	t   *testing.T
	src string
}

func newWorkbench(t *testing.T) workbench {
	w := workbench{newHost(t), t, t.TempDir()}
	w.write("main.c", "one")
	w.write("lib/a.c", "a")
	return w
}

func (w workbench) write(name, text string) {
	w.t.Helper()
	path := filepath.Join(w.src, name)
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		w.t.Fatal(err)
	}
	if err := os.WriteFile(path, []byte(text), 0o644); err != nil {
		w.t.Fatal(err)
	}
}

// job is one for what the sources are now. send stores them.
func (w workbench) job(script string) (job spec.BuildJob, send func()) {
	w.t.Helper()
	packed, err := build.New(build.Options{Dir: w.t.TempDir()}).PackInputs(w.t.Context(), build.Job{Name: "worker", Dir: w.src, Inputs: []string{"**/*.c"}, Output: "bin/worker"})
	if err != nil {
		w.t.Fatal(err)
	}
	return spec.BuildJob{Name: "worker", Command: []string{"sh", "-c", script}, Output: "bin/worker", Timeout: time.Minute, Inputs: packed.Digest}, func() {
		w.t.Helper()
		p := &spec.Program{Digest: packed.Digest, Size: packed.Size, Open: func() (io.ReadSeekCloser, error) { return os.Open(packed.Path) }}
		if err := drivers.SendProgram(w.t.Context(), w, p); err != nil {
			w.t.Fatal(err)
		}
	}
}

const compile = "echo compiling; cat main.c lib/*.c > bin/worker; echo x >> objects"

func TestBuild(t *testing.T) {
	w := newWorkbench(t)
	for _, tt := range []struct {
		name, made string
		change     func()
		wants      bool // the sources
	}{
		{"the first time", "onea", func() {}, true},
		{"nothing changed", "onea", func() {}, false},
		{"something changed", "twoa", func() { w.write("main.c", "two") }, true},
		{"something went", "two", func() { os.Remove(filepath.Join(w.src, "lib/a.c")); w.write("lib/b.c", "") }, true},
	} {
		tt.change()
		job, send := w.job(compile)
		var out bytes.Buffer
		r, err := w.Build(t.Context(), job, &out)
		if errors.Is(err, drivers.ErrNotFound) != tt.wants {
			t.Fatalf("%s: %v", tt.name, err)
		}
		if tt.wants {
			send()
			r, err = w.Build(t.Context(), job, &out)
		}
		if err != nil || r.Built != tt.wants || (out.String() == "compiling\n") != tt.wants {
			t.Fatalf("%s: %+v, %v; printed %q", tt.name, r, err, out.String())
		}
		f, err := w.programs.Open(r.Digest)
		if err != nil {
			t.Fatal(err)
		}
		if text, err := io.ReadAll(f); string(text) != tt.made || err != nil || r.Size != int64(len(text)) {
			t.Errorf("%s: it keeps %q, %v; %+v", tt.name, text, err, r)
		}
		f.Close()
	}
	kept, err := os.ReadFile(filepath.Join(w.dirs.State, "sources/worker/objects"))
	if err != nil || string(kept) != "x\nx\nx\n" {
		t.Errorf("what the compiler left is %q, %v", kept, err)
	}
}

func TestABuildThatFailsLeavesTheHostAsItWas(t *testing.T) {
	w := newWorkbench(t)
	good, send := w.job(compile)
	send()
	first, err := w.Build(t.Context(), good, io.Discard)
	if err != nil {
		t.Fatal(err)
	}
	bad, _ := w.job("echo 'main.c:1: error'; exit 1")
	if _, err := w.Build(t.Context(), bad, io.Discard); err == nil || !strings.Contains(err.Error(), "| main.c:1: error") {
		t.Errorf("%v", err)
	}
	if r, err := w.Build(t.Context(), good, io.Discard); err != nil || r.Built || r.Digest != first.Digest {
		t.Errorf("%+v, %v", r, err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	slow, _ := w.job("echo begun; sleep 100")
	_, err = w.Build(ctx, slow, writerFunc(func(p []byte) (int, error) { cancel(); return len(p), nil }))
	if !errors.Is(err, context.Canceled) {
		t.Errorf("%v", err)
	}
}

type writerFunc func([]byte) (int, error)

func (f writerFunc) Write(p []byte) (int, error) { return f(p) }

func TestBuildRefusesNamesThatLeadElsewhere(t *testing.T) {
	w := newWorkbench(t)
	for _, change := range []func(*spec.BuildJob){
		func(j *spec.BuildJob) { j.Name = "../worker" },
		func(j *spec.BuildJob) { j.Output = "../worker" },
		func(j *spec.BuildJob) { j.Output = "/etc/passwd" },
	} {
		job, _ := w.job("true")
		change(&job)
		if _, err := w.Build(t.Context(), job, io.Discard); !errors.Is(err, drivers.ErrPermanent) {
			t.Errorf("%+v: %v", job, err)
		}
	}
}

// TestCompiler: which compiler a host has is told without a trace, and what it built says by which.
func TestCompiler(t *testing.T) {
	w := newWorkbench(t)
	cc := filepath.Join(t.TempDir(), "own-cc")
	compiler := func(text string) {
		t.Helper()
		if err := os.WriteFile(cc, []byte("#!/bin/sh\n"+text+"\ncat main.c > bin/worker\n"), 0o755); err != nil {
			t.Fatal(err)
		}
	}
	job, send := w.job("")
	job.Command, job.Env = []string{"own-cc"}, map[string]string{"PATH": filepath.Dir(cc) + ":/usr/bin:/bin"}
	if c, err := w.Compiler(t.Context(), job); err == nil || !strings.Contains(err.Error(), `no command "own-cc" in PATH`) {
		t.Errorf("where there is none: %+v, %v", c, err)
	}
	compiler("# 1")
	first, err := w.Compiler(t.Context(), job)
	if err != nil || first.Path != cc || first.Digest == "" {
		t.Fatalf("%+v, %v", first, err)
	}
	if _, err := os.Stat(filepath.Join(w.dirs.State, "sources")); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("the look left its trace: %v", err)
	}
	send()
	if r, err := w.Build(t.Context(), job, io.Discard); err != nil || !r.Built || r.Compiler != first {
		t.Errorf("%+v, %v", r, err)
	}
	compiler("# 2")
	second, err := w.Compiler(t.Context(), job)
	if err != nil || second.Digest == first.Digest {
		t.Errorf("another one: %+v, %v", second, err)
	}
	if r, err := w.Build(t.Context(), job, io.Discard); err != nil || !r.Built || r.Compiler != second {
		t.Errorf("built by another one: %+v, %v", r, err)
	}
	job.Name = "../worker"
	if _, err := w.Compiler(t.Context(), job); !errors.Is(err, drivers.ErrPermanent) {
		t.Errorf("a name that leads elsewhere: %v", err)
	}
}

// TestACompilerAmongTheSources is there only once they have come.
func TestACompilerAmongTheSources(t *testing.T) {
	w := newWorkbench(t)
	w.write("build.c", "#!/bin/sh\ncat main.c > bin/worker\n")
	if err := os.Chmod(filepath.Join(w.src, "build.c"), 0o755); err != nil {
		t.Fatal(err)
	}
	job, send := w.job("")
	job.Command = []string{"./build.c"}
	if _, err := w.Build(t.Context(), job, io.Discard); !errors.Is(err, drivers.ErrNotFound) {
		t.Fatalf("before its sources came: %v", err)
	}
	send()
	for i, built := range []bool{true, false} {
		if r, err := w.Build(t.Context(), job, io.Discard); err != nil || r.Built != built {
			t.Errorf("build %d: %+v, %v", i, r, err)
		}
	}
	if c, err := w.Compiler(t.Context(), job); err != nil || c.Digest != "" {
		t.Errorf("what is among the sources changes with them: %+v, %v", c, err)
	}
}
