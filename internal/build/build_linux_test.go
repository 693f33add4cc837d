package build

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"reconciler.dev/reconciler/internal/procfs"
	"reconciler.dev/reconciler/internal/spawn"
)

// killEnv makes this program a Builder that is killed: it names the workshop.
const killEnv = "BUILD_TEST_KILLED"

func TestMain(m *testing.M) {
	spawn.Main()
	if root := os.Getenv(killEnv); root != "" {
		w := workshop{root: root}
		_, err := w.builder().Build(context.Background(), w.job(`sh -c 'echo $$ > forever.pid; exec sleep 100' & setsid sleep 100 & echo begun; wait`), true, os.Stdout)
		fmt.Println(err)
		os.Exit(1)
	}
	os.Exit(m.Run())
}

// workshop is a folder with sources, and one for records.
type workshop struct{ root string }

func newWorkshop(t *testing.T) workshop {
	w := workshop{t.TempDir()}
	w.write(t, "main.c", "one")
	w.write(t, "lib/a.c", "a")
	return w
}

func (w workshop) dir() string { return filepath.Join(w.root, "src") }

func (w workshop) write(t *testing.T, name, text string) {
	t.Helper()
	path := filepath.Join(w.dir(), name)
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(path, []byte(text), 0o644); err != nil {
		t.Fatal(err)
	}
}

func (w workshop) builder() *Builder {
	return New(Options{Dir: filepath.Join(w.root, "builds"), Env: map[string]string{"PATH": "/usr/bin:/bin"}, Spawner: sync.OnceValues(spawn.New)})
}

// job is a shell script that makes bin/worker.
func (w workshop) job(script string) Job {
	return Job{Name: "worker", Dir: w.dir(), Command: []string{"sh", "-c", script}, Inputs: []string{"**/*.c", "Makefile"}, Output: "bin/worker", Timeout: time.Minute}
}

const compile = "cat main.c lib/*.c > bin/worker; echo compiled"

func TestBuildRunsOnlyWhereSomethingChanged(t *testing.T) {
	w := newWorkshop(t)
	b, j := w.builder(), w.job(compile)
	for _, tt := range []struct {
		name   string
		change func()
		due    string
	}{
		{"the first time", func() {}, "it was never built here"},
		{"nothing", func() {}, ""},
		{"a file that is no input", func() { w.write(t, "README", "x") }, ""},
		{"the same content again", func() { w.write(t, "main.c", "one") }, ""},
		{"an input", func() { w.write(t, "main.c", "two") }, "main.c changed"},
		{"an input, and it back", func() { w.write(t, "main.c", "three"); w.write(t, "main.c", "two") }, ""},
		{"two inputs", func() { w.write(t, "main.c", "3"); w.write(t, "lib/a.c", "b") }, "lib/a.c changed and 1 more file"},
		{"a new input", func() { w.write(t, "lib/b.c", "b") }, "lib/b.c is new"},
		{"an input that goes", func() { os.Remove(filepath.Join(w.dir(), "lib/b.c")) }, "lib/b.c is gone"},
		{"an input that can be executed now", func() { os.Chmod(filepath.Join(w.dir(), "main.c"), 0o755) }, "main.c changed"},
		{"the command", func() { j.Command = append(j.Command, "x") }, "the command changed"},
		{"the environment", func() { j.Env = map[string]string{"CGO_ENABLED": "0"} }, "env CGO_ENABLED is new"},
		{"the output was written over", func() { w.write(t, "bin/worker", "evil") }, "bin/worker isn't what was built"},
		{"the output is gone", func() { os.Remove(filepath.Join(w.dir(), "bin/worker")) }, "bin/worker is gone"},
	} {
		tt.change()
		st, err := b.Look(t.Context(), j)
		if err != nil || st.Due != tt.due {
			t.Fatalf("%s: due %q, %v; want %q", tt.name, st.Due, err, tt.due)
		}
		var out bytes.Buffer
		built, err := b.Build(t.Context(), j, false, &out)
		if err != nil || built.Built != (tt.due != "") || built.Digest != st.Digest || built.Due != "" {
			t.Fatalf("%s: built %+v, %v", tt.name, built, err)
		}
		if printed := out.String() == "compiled\n"; printed != built.Built {
			t.Errorf("%s: it printed %q", tt.name, out.String())
		}
		if text, err := os.ReadFile(built.Program.Path); err != nil || built.Program.Size != int64(len(text)) {
			t.Errorf("%s: the program is %+v, and there are %d bytes, %v", tt.name, built.Program, len(text), err)
		}
	}
	if st, err := b.Build(t.Context(), j, true, new(bytes.Buffer)); err != nil || !st.Built {
		t.Errorf("by force: %+v, %v", st, err)
	}
}

func TestAnotherCompilerIsAChange(t *testing.T) {
	w := newWorkshop(t)
	tool := filepath.Join(w.root, "cc")
	script := func(text string) {
		if err := os.WriteFile(tool, []byte("#!/bin/sh\n"+text+"\ncat main.c > bin/worker\n"), 0o755); err != nil {
			t.Fatal(err)
		}
	}
	script("# version 1")
	b, j := w.builder(), w.job("")
	j.Command, j.Env = []string{"cc"}, map[string]string{"PATH": w.root + ":/bin"}
	if st, err := b.Build(t.Context(), j, false, new(bytes.Buffer)); err != nil || !st.Built {
		t.Fatalf("%+v, %v", st, err)
	}
	script("# version 2")
	if st, err := b.Look(t.Context(), j); err != nil || st.Due != tool+" changed" {
		t.Errorf("due %q, %v", st.Due, err)
	}
}

// TestDigestIsThatOfContents: it is the same wherever the sources lie.
func TestDigestIsThatOfContents(t *testing.T) {
	one, two := newWorkshop(t), newWorkshop(t)
	a, err := one.builder().Look(t.Context(), one.job(compile))
	if err != nil {
		t.Fatal(err)
	}
	b, err := two.builder().Look(t.Context(), two.job(compile))
	if err != nil || a.Digest != b.Digest || !strings.HasPrefix(a.Digest, "sha256:") {
		t.Errorf("%s and %s, %v", a.Digest, b.Digest, err)
	}
	if _, err := os.Stat(filepath.Join(one.root, "builds")); !os.IsNotExist(err) {
		t.Errorf("a look left something: %v", err)
	}
}

func TestFailures(t *testing.T) {
	w := newWorkshop(t)
	b := w.builder()
	for _, tt := range []struct {
		name, script string
		change       func(*Job)
		want         []string
	}{
		{"it fails", "echo 'main.c:1: syntax error'; exit 2", nil, []string{"build worker in " + w.dir(), "exited with status 2", "| main.c:1: syntax error", "all of it is in "}},
		{"it fails silently", "exit 1", nil, []string{"it printed nothing"}},
		{"it takes too long", "echo slow; sleep 60", func(j *Job) { j.Timeout = 100 * time.Millisecond }, []string{"it took longer than build.timeout, 100ms", "| slow"}},
		{"it makes nothing", "true", nil, []string{"there is no bin/worker", "build.output"}},
		{"it makes an empty file", ": > bin/worker", nil, []string{"is empty"}},
		{"what it says is safe for a terminal", `printf '\033]0;evil\007\033[31mred\033[m\n'; exit 1`, nil, []string{`| \x1b]0;evil\x07red`}},
		{"no command of that name", "", func(j *Job) { j.Command = []string{"nosuchcompiler"} }, []string{`no command "nosuchcompiler" in PATH`}},
		{"no program at that path", "", func(j *Job) { j.Command = []string{"./main.c"} }, []string{"main.c isn't executable (chmod +x)"}},
		{"no inputs", "", func(j *Job) { j.Inputs = []string{"**/*.go"} }, []string{"build.inputs", "mean no file"}},
		{"no folder", "", func(j *Job) { j.Dir = "/nowhere" }, []string{"build.dir", "/nowhere"}},
		{"a bad pattern", "", func(j *Job) { j.Inputs = []string{"["} }, []string{"build.inputs", "syntax error"}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			os.Remove(filepath.Join(w.dir(), "bin/worker"))
			j := w.job(tt.script)
			if tt.change != nil {
				tt.change(&j)
			}
			_, err := b.Build(t.Context(), j, false, new(bytes.Buffer))
			if err == nil {
				t.Fatal("no error")
			}
			for _, want := range tt.want {
				if !strings.Contains(err.Error(), want) {
					t.Errorf("%q\nlacks %q", err, want)
				}
			}
		})
	}
}

// TestAFailureIsOneScreen of what was said last, and the whole is kept.
func TestAFailureIsOneScreen(t *testing.T) {
	w := newWorkshop(t)
	b, j := w.builder(), w.job("i=0; while [ $i -lt 500 ]; do echo line $i; i=$((i+1)); done; exit 1")
	var out bytes.Buffer
	_, err := b.Build(t.Context(), j, false, &out)
	var f *Failure
	if !errors.As(err, &f) || len(f.Said) != lastLines || f.Said[lastLines-1] != "line 499" {
		t.Fatalf("%+v, %v", f, err)
	}
	all, err := os.ReadFile(b.Log(j))
	if err != nil || string(all) != out.String() || strings.Count(string(all), "\n") != 500 {
		t.Errorf("kept %d bytes of %d, %v", len(all), out.Len(), err)
	}
}

// TestAFailureChangesNothing: what was built before goes on being what it is.
func TestAFailureChangesNothing(t *testing.T) {
	w := newWorkshop(t)
	b := w.builder()
	good, err := b.Build(t.Context(), w.job(compile), false, new(bytes.Buffer))
	if err != nil {
		t.Fatal(err)
	}
	w.write(t, "main.c", "broken")
	j := w.job(compile)
	j.Command = w.job(compile).Command
	if _, err := b.Build(t.Context(), w.job("exit 1"), false, new(bytes.Buffer)); err == nil {
		t.Fatal("no error")
	}
	w.write(t, "main.c", "one")
	if st, err := b.Look(t.Context(), j); err != nil || st.Due != "" || st.Program != good.Program {
		t.Errorf("%+v, %v; want %+v", st, err, good.Program)
	}
}

// TestInputsThatChangeMeanwhile are seen by the next look.
func TestInputsThatChangeMeanwhile(t *testing.T) {
	w := newWorkshop(t)
	b, j := w.builder(), w.job("cat main.c > bin/worker; echo newer > main.c")
	if _, err := b.Build(t.Context(), j, false, new(bytes.Buffer)); err != nil {
		t.Fatal(err)
	}
	if st, err := b.Look(t.Context(), j); err != nil || st.Due != "main.c changed" {
		t.Errorf("due %q, %v", st.Due, err)
	}
}

// TestOneAtATimeInAFolder, whoever builds.
func TestOneAtATimeInAFolder(t *testing.T) {
	w := newWorkshop(t)
	script := "mkdir busy || exit 1; cat main.c > $OUT; sleep 0.02; rmdir busy"
	var wg sync.WaitGroup
	for i := range 6 {
		wg.Go(func() {
			j := w.job(script)
			j.Output = fmt.Sprintf("bin/worker%d", i%3)
			j.Env = map[string]string{"OUT": j.Output}
			if _, err := w.builder().Build(t.Context(), j, true, new(bytes.Buffer)); err != nil {
				t.Error(err)
			}
		})
	}
	wg.Wait()
}

// TestWhoWaitedLooksAgain, and doesn't build what was built meanwhile.
func TestWhoWaitedLooksAgain(t *testing.T) {
	w := newWorkshop(t)
	var wg sync.WaitGroup
	var mu sync.Mutex
	built := 0
	for range 5 {
		wg.Go(func() {
			st, err := w.builder().Build(t.Context(), w.job(compile+"; sleep 0.05"), false, new(bytes.Buffer))
			if err != nil {
				t.Error(err)
			}
			mu.Lock()
			defer mu.Unlock()
			if st.Built {
				built++
			}
		})
	}
	wg.Wait()
	if built != 1 {
		t.Errorf("it was built %d times", built)
	}
}

func TestCancelEndsTheTree(t *testing.T) {
	w := newWorkshop(t)
	ctx, cancel := context.WithCancelCause(t.Context())
	j := w.job("setsid sh -c 'echo $$ > pid; exec sleep 100' & until [ -s pid ]; do :; done; echo begun; wait")
	_, err := w.builder().Build(ctx, j, false, cancelAt{cancel})
	if !errors.Is(err, ErrNewer) {
		t.Errorf("error %v", err)
	}
	if pid := w.pid(t, "pid"); alive(pid) {
		t.Errorf("process %d lives on", pid)
	}
}

// cancelAt cancels at the first word.
type cancelAt struct{ cancel context.CancelCauseFunc }

func (c cancelAt) Write(p []byte) (int, error) {
	c.cancel(ErrNewer)
	return len(p), nil
}

// TestWhatAKilledOneLeft is ended before the next command begins.
func TestWhatAKilledOneLeft(t *testing.T) {
	w := newWorkshop(t)
	cmd := exec.Command(os.Args[0])
	cmd.Env = append(os.Environ(), killEnv+"="+w.root)
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	word := make([]byte, 5)
	if _, err := out.Read(word); err != nil || string(word) != "begun" {
		t.Fatalf("it said %q, %v", word, err)
	}
	if err := cmd.Process.Kill(); err != nil {
		t.Fatal(err)
	}
	cmd.Wait()
	for {
		if info, err := os.Stat(filepath.Join(w.dir(), "forever.pid")); err == nil && info.Size() > 0 {
			break
		}
		time.Sleep(time.Millisecond)
	}
	left := w.pid(t, "forever.pid")
	if !alive(left) {
		t.Fatal("what is to be ended has ended by itself")
	}
	if st, err := w.builder().Build(t.Context(), w.job(compile), false, new(bytes.Buffer)); err != nil || !st.Built {
		t.Errorf("%+v, %v", st, err)
	}
	if alive(left) {
		t.Errorf("process %d, of the build that was cut off, lives on", left)
	}
}

func (w workshop) pid(t *testing.T, name string) (pid int) {
	t.Helper()
	text, err := os.ReadFile(filepath.Join(w.dir(), name))
	if err != nil {
		t.Fatal(err)
	}
	if _, err := fmt.Sscan(string(text), &pid); err != nil {
		t.Fatalf("%s holds %q: %v", name, text, err)
	}
	return pid
}

func alive(pid int) bool {
	st, err := procfs.ReadStat(pid)
	return err == nil && !st.Dead() && unix.Kill(pid, 0) == nil
}
