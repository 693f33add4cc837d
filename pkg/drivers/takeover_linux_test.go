package drivers

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"reconciler.dev/reconciler/internal/procfs"
	"reconciler.dev/reconciler/pkg/spec"
)

// sleeper is a process that somebody started, and its number.
func sleeper(t *testing.T, change ...func(*exec.Cmd)) int {
	t.Helper()
	cmd := exec.Command("/bin/sleep", "1000061")
	cmd.Dir, cmd.Env = "/", []string{"A=same", "TOKEN=hunter2", "MORE=x"}
	cmd.SysProcAttr = &unix.SysProcAttr{Setpgid: true}
	for _, c := range change {
		c(cmd)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_ = unix.Kill(-cmd.Process.Pid, unix.SIGKILL) // with what it started
		_ = cmd.Wait()                                // it was killed
	})
	return cmd.Process.Pid
}

func TestWhatCantBeTakenOver(t *testing.T) {
	pid := sleeper(t)
	ended := exec.Command("/bin/true")
	if err := ended.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = ended.Wait() })
	for deadline := time.Now().Add(10 * time.Second); ; {
		if st, err := procfs.ReadStat(ended.Process.Pid); err != nil || st.Dead() || time.Now().After(deadline) {
			break
		}
	}
	threads, err := os.ReadDir("/proc/self/task")
	if err != nil {
		t.Fatal(err)
	}
	thread, _ := strconv.Atoi(threads[len(threads)-1].Name())
	for _, c := range []struct {
		name string
		c    spec.Candidate
		kind error
	}{
		{"the first process", spec.Candidate{PID: 1}, ErrPermanent},
		{"no number", spec.Candidate{PID: -5}, ErrPermanent},
		{"nothing", spec.Candidate{}, ErrPermanent},
		{"itself", spec.Candidate{PID: os.Getpid()}, ErrPermanent},
		{"a thread of its own", spec.Candidate{PID: thread}, ErrPermanent},
		{"what started it", spec.Candidate{PID: os.Getppid()}, ErrPermanent},
		{"what has ended, and nobody noticed", spec.Candidate{PID: ended.Process.Pid}, ErrNotFound},
		{"nobody", spec.Candidate{PID: 1<<22 - 1}, ErrNotFound},
		{"another that has the number now", spec.Candidate{PID: pid, StartTicks: 1}, ErrMoved},
	} {
		if _, err := FindCandidate(c.c); !errors.Is(err, c.kind) {
			t.Errorf("%s: %v, want %v", c.name, err, c.kind)
		}
	}
	if st, err := FindCandidate(spec.Candidate{PID: pid}); err != nil || st.PID != pid {
		t.Errorf("a process like any other: %v", err)
	}
}

// A PID file is believed where nobody can have forged it who couldn't have ended the process as well.
func TestPIDFiles(t *testing.T) {
	pid := sleeper(t)
	dir := t.TempDir()
	write := func(text string, change ...func(path string) error) string {
		path := filepath.Join(dir, fmt.Sprintf("%x.pid", len(text)*1000+len(change)+int(time.Now().UnixNano()%1e6)))
		if err := os.WriteFile(path, []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
		for _, c := range change {
			if err := c(path); err != nil {
				t.Fatal(err)
			}
		}
		return path
	}
	good := strconv.Itoa(pid)
	link, pipe := filepath.Join(dir, "link"), filepath.Join(dir, "pipe")
	if err := errors.Join(os.Symlink(write(good), link), unix.Mkfifo(pipe, 0o600)); err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		name, path string
		kind       error
	}{
		{"as daemons write it", write(good + "\n"), nil},
		{"no path that counts", "run/x.pid", ErrPermanent},
		{"none", filepath.Join(dir, "none"), ErrNotFound},
		{"a link", link, ErrPermanent},
		{"a pipe that nobody writes to", pipe, ErrPermanent},
		{"no number", write("web"), ErrPermanent},
		{"escapes", write("\x1b[31m7"), ErrPermanent},
		{"a whole book", write(strings.Repeat(" ", 1<<20) + good), ErrPermanent},
		{"the first process", write("1"), ErrPermanent},
		{"a process that has ended", write(strconv.Itoa(1<<22 - 1)), ErrNotFound},
		{"older than the process", write(good, func(p string) error { return os.Chtimes(p, time.Unix(1e9, 0), time.Unix(1e9, 0)) }), ErrPermanent},
		{"anybody may write it", write(good, func(p string) error { return os.Chmod(p, 0o666) }), ErrPermanent},
		{"another user's", write(good, func(p string) error { return os.Chown(p, 12345, 0) }), ErrPermanent},
	} {
		if _, err := FindCandidate(spec.Candidate{PIDFile: c.path}); c.kind == nil && err != nil || !errors.Is(err, c.kind) {
			t.Errorf("%s: %v, want %v", c.name, err, c.kind)
		} else if err != nil && strings.ContainsAny(err.Error(), "\x1b") {
			t.Errorf("%s: %q", c.name, err)
		}
	}
}

// What differs is named, one by one; what a secret is isn't, on neither side.
func TestCompare(t *testing.T) {
	pid := sleeper(t)
	st, err := procfs.ReadStat(pid)
	if err != nil {
		t.Fatal(err)
	}
	same, umask := "same", spec.Mode(0o022)
	want := func(change func(*spec.Daemon)) *spec.Daemon {
		d := &spec.Daemon{Spec: spec.Spec{Binary: "/bin/sleep", Args: []string{"1000061"}, WorkingDir: "/", Umask: &umask, Env: map[string]spec.EnvVar{"A": {Value: &same}}}}
		change(d)
		return d
	}
	other := "other"
	for _, c := range []struct {
		name    string
		change  func(*spec.Daemon)
		pending []string
		now     []string
	}{
		{name: "nothing", change: func(*spec.Daemon) {}},
		{"another program", func(d *spec.Daemon) { d.Spec.Binary = "/bin/cat" }, []string{"spec.binary"}, nil},
		{"other arguments", func(d *spec.Daemon) { d.Spec.Args = []string{"\x1b[31m", "1"} }, []string{"spec.args"}, nil},
		{"another directory", func(d *spec.Daemon) { d.Spec.WorkingDir = "/tmp" }, []string{"spec.workingDir"}, nil},
		{"another priority", func(d *spec.Daemon) { d.Spec.Nice = 7 }, []string{"spec.nice"}, nil},
		{"another user", func(d *spec.Daemon) { d.Spec.User = "nobody" }, []string{"spec.group", "spec.user"}, nil},
		{"a sandbox", func(d *spec.Daemon) { d.Spec.Sandbox = &spec.Sandbox{NoNewPrivileges: true} }, []string{"spec.sandbox"}, nil},
		{"a limit", func(d *spec.Daemon) { d.Spec.Rlimits = map[string]spec.Rlimit{"core": {Soft: 17, Hard: 17}} }, nil, []string{"spec.rlimits.core"}},
		{"variables", func(d *spec.Daemon) {
			d.Spec.Env = map[string]spec.EnvVar{"A": {Value: &other}, "NEW": {Value: &other}, "TOKEN": {FromFile: "/x"}}
			d.Secrets = map[string]spec.Secret{"TOKEN": spec.NewSecret("swordfish")}
		}, []string{"spec.env.A", "spec.env.NEW", "spec.env.TOKEN"}, nil},
	} {
		got, err := Compare(want(c.change), st, nil)
		if err != nil {
			t.Errorf("%s: %v", c.name, err)
			continue
		}
		fields := func(ds []spec.Drift) (names []string) {
			for _, d := range ds {
				names = append(names, d.Field)
			}
			return names
		}
		if !slices.Equal(fields(got.Pending), c.pending) || !slices.Equal(fields(got.Now), c.now) {
			t.Errorf("%s: pending %+v, now %+v", c.name, got.Pending, got.Now)
		}
		if text := fmt.Sprintf("%+v", *got); strings.Contains(text, "hunter2") || strings.Contains(text, "swordfish") || strings.Contains(text, "\x1b") {
			t.Errorf("%s: it tells %q", c.name, text)
		}
	}
	for what, change := range map[string]func(*spec.Daemon){
		"sockets that can't be handed over": func(d *spec.Daemon) { d.Spec.Listen = []string{"tcp://127.0.0.1:80"} },
		"a start beside itself":             func(d *spec.Daemon) { d.Spec.Update = &spec.Update{Strategy: spec.UpdateStartFirst} },
	} {
		if _, err := Compare(want(change), st, nil); !errors.Is(err, ErrUnsupported) {
			t.Errorf("%s: %v", what, err)
		}
	}
}

// A script is its own program, though its interpreter runs; one that was replaced isn't what runs.
func TestCompareScriptsAndReplacedPrograms(t *testing.T) {
	dir := t.TempDir()
	script, program := filepath.Join(dir, "script"), filepath.Join(dir, "program")
	sleep, err := os.ReadFile("/bin/sleep")
	if err := errors.Join(err, os.WriteFile(script, []byte("#!/bin/sh\nsleep 1000062; :\n"), 0o755), os.WriteFile(program, sleep, 0o755)); err != nil {
		t.Fatal(err)
	}
	compare := func(path string, args ...string) []spec.Drift {
		pid := sleeper(t, func(c *exec.Cmd) { c.Path, c.Args = path, append([]string{path}, args...) })
		var st procfs.Stat
		for deadline := time.Now().Add(10 * time.Second); ; { // until it has executed its program
			var err error
			if st, err = procfs.ReadStat(pid); err != nil {
				t.Fatal(err)
			}
			if argv, err := procfs.CommandLine(pid); err == nil && slices.Contains(argv, path) || time.Now().After(deadline) {
				break
			}
		}
		if path == program {
			if err := errors.Join(os.Remove(program), os.WriteFile(program, sleep, 0o755)); err != nil {
				t.Fatal(err)
			}
		}
		got, err := Compare(&spec.Daemon{Spec: spec.Spec{Binary: path, Args: args}}, st, nil)
		if err != nil {
			t.Fatal(err)
		}
		return got.Pending
	}
	if got := compare(script, "a b", "c"); got != nil {
		t.Errorf("a script: %+v", got)
	}
	if got := compare(program, "1000063"); len(got) != 1 || got[0].Field != "spec.binary" || !strings.HasSuffix(got[0].Have, " (deleted)") {
		t.Errorf("a program that was replaced: %+v", got)
	}
}
