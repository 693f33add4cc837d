package labhost

import (
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"os/exec"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"
)

const (
	// insideEnv tells a test binary that it runs on a host: KIND TEST.
	insideEnv = "LABHOST_INSIDE"
	// testprogEnv is where the test program is, built: see internal/testprog.
	testprogEnv = "RECONCILER_TESTPROG"
	// binaryDir is where a host finds the test binary and the test program.
	binaryDir = "/lab"
)

// Test runs f on a host of a kind. It boots one and runs this test binary there with this one test, down to this call, which then calls f. What comes before the
// call in the test is run on both sides. It may be called once in a test; where there are several kinds, each has its subtest.
//
// On the host the working directory is there, read-only, the test program in RECONCILER_TESTPROG, and binds; no other file of the machine is to be relied on. The
// environment is the host's, with those variables of this process whose names begin with RECONCILER_. Flags are those of this process, except for the ones
// that name files. What the test says there is part of this test's output, behind a bar.
func Test(t *testing.T, kind Kind, f func(t *testing.T), binds ...Bind) {
	t.Helper()
	inside := os.Getenv(insideEnv)
	if inside == "" {
		runInside(t, kind, binds)
		return
	}
	if asked := string(kind) + " " + t.Name(); asked != inside {
		t.Fatalf("this is the host for %q, and it came upon %q: call labhost.Test once in a test, and give each kind of host a subtest", inside, asked)
	}
	f(t)
}

func runInside(t *testing.T, kind Kind, binds []Bind) {
	t.Helper()
	dir, err := os.Getwd()
	if err != nil {
		t.Fatal(err)
	}
	l := theLab(t)
	binary, err := os.Executable()
	if kind.machine() {
		binary, err = l.machineBinary(t.Context())
	}
	if err != nil {
		t.Fatal(err)
	}
	l.tests <- struct{}{}
	t.Cleanup(func() { <-l.tests }) // after the host's
	program, err := l.builtProgram(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	binds = append([]Bind{{binary, binaryDir + "/test"}, {program, binaryDir + "/prog"}}, binds...)
	env := insideEnvironment(os.Environ(), insideEnv+"="+string(kind)+" "+t.Name(), testprogEnv+"="+binaryDir+"/prog")
	var cmd *exec.Cmd
	if kind.machine() {
		cmd = startMachine(t, machineSpec{Kind: kind, Binds: binds, Args: insideFlags(t), Env: env, Dir: dir})
	} else {
		h := Start(t, kind, append(binds, Bind{dir, dir})...)
		cmd = h.command(t.Context(), kind.user(), kind == Delegated, slices.Concat([]string{"env", "-C", dir}, env, []string{binaryDir + "/test"}, insideFlags(t)))
	}
	v := &verdict{w: t.Output(), test: t.Name()}
	cmd.Stdout, cmd.Stderr = v, v
	if err := v.judge(cmd.Run()); err != nil {
		t.Errorf("on a %s host: %v", kind, err)
	}
}

// insideEnvironment is what of env a test on a host is told, and more.
func insideEnvironment(env []string, more ...string) []string {
	kept := slices.DeleteFunc(slices.Clone(env), func(v string) bool {
		name, _, _ := strings.Cut(v, "=")
		return name == testprogEnv || !strings.HasPrefix(name, "RECONCILER_") && !slices.Contains([]string{"CI", "GORACE", "GODEBUG", "GOTRACEBACK"}, name)
	})
	if !slices.ContainsFunc(kept, func(v string) bool { return strings.HasPrefix(v, "GORACE=") }) {
		kept = append(kept, "GORACE=atexit_sleep_ms=0") // it is a second otherwise, for each host
	}
	return append(kept, more...)
}

// insideFlags are the flags of a test binary that runs this one test as this one is run.
func insideFlags(t *testing.T) []string {
	args := []string{"-test.v", "-test.paniconexit0", "-test.count=1", "-test.run=" + pattern(t.Name())}
	if deadline, ok := t.Deadline(); ok {
		args = append(args, "-test.timeout="+max(time.Until(deadline)-5*time.Second, time.Second).String()) // to be heard before this one's time is over
	}
	flag.Visit(func(f *flag.Flag) {
		name, ours := strings.CutPrefix(f.Name, "test.")
		if !ours || slices.Contains([]string{"short", "parallel", "cpu", "failfast", "fullpath"}, name) {
			args = append(args, "-"+f.Name+"="+f.Value.String())
		}
	})
	return args
}

// pattern matches the test of that name, and no other.
func pattern(name string) string {
	parts := strings.Split(name, "/")
	for i, p := range parts {
		parts[i] = "^" + regexp.QuoteMeta(p) + "$"
	}
	return strings.Join(parts, "/")
}

// verdict passes on what a test says on a host, and hears from it whether the test ran and passed.
type verdict struct {
	w       io.Writer
	test    string
	rest    []byte // of a line
	passed  bool
	skipped []string
}

// Write marks each line, so that nobody takes a result in it for one of this process.
func (v *verdict) Write(p []byte) (int, error) {
	v.rest = append(v.rest, p...)
	for {
		i := slices.Index(v.rest, '\n')
		if i < 0 {
			return len(p), nil
		}
		v.line(string(v.rest[:i]))
		v.rest = v.rest[i+1:]
	}
}

func (v *verdict) line(l string) {
	fmt.Fprintf(v.w, "| %s\n", l)
	l = strings.TrimLeft(l, " ")
	if strings.HasPrefix(l, "--- PASS: "+v.test+" ") {
		v.passed = true
	}
	if test, ok := strings.CutPrefix(l, "--- SKIP: "); ok {
		v.skipped = append(v.skipped, test)
	}
}

// judge says what is wrong, given how the test binary ended.
func (v *verdict) judge(err error) error {
	if len(v.rest) > 0 {
		v.line(string(v.rest))
	}
	switch {
	case err != nil:
		return fmt.Errorf("the test binary ended with %w", err)
	case len(v.skipped) > 0:
		return fmt.Errorf("skipped %s: a host is made to have what a test needs", strings.Join(v.skipped, ", "))
	case !v.passed:
		return errors.New("the test didn't run: is labhost.Main called in TestMain, and is the test's name always the same?")
	}
	return nil
}
