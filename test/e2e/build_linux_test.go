package e2e

import (
	"flag"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strconv"
	"sync"
	"testing"

	"reconciler.dev/reconciler/test/labhost"
)

// bin is where this run of the tests builds what it needs; main makes it and takes it away.
var bin string

func TestMain(m *testing.M) {
	if run := os.Getenv(guardEnv); run != "" {
		guard(run)
		os.Exit(0)
	}
	labhost.Main(whole{m})
}

// whole is all that this package does around its tests.
type whole struct{ m *testing.M }

func (w whole) Run() int { return main(w.m) }

func main(m *testing.M) int {
	flag.Parse()
	dir, err := os.MkdirTemp("", "reconciler-e2e-")
	if err == nil {
		err = os.Chmod(dir, 0o755) // for daemons with an account of their own
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, "make a directory for the programs under test:", err)
		return 1
	}
	defer os.RemoveAll(dir)
	bin = dir
	if err := startGuard(); err != nil {
		fmt.Fprintln(os.Stderr, "guard the processes of the tests:", err)
		return 1
	}
	// Most of a test is waiting for a process to start or end, so more of them than there are CPUs run side by side.
	if parallel := flag.Lookup("test.parallel"); parallel.Value.String() == strconv.Itoa(runtime.GOMAXPROCS(0)) {
		if err := parallel.Value.Set(strconv.Itoa(4 * runtime.GOMAXPROCS(0))); err != nil {
			fmt.Fprintln(os.Stderr, err)
			return 1
		}
	}
	return m.Run()
}

// The programs under test, each built when the first test asks for it.
var (
	reconciler  = built("reconciler", "./cmd/reconciler")
	failpointed = built("reconciler-failpoints", "./cmd/reconciler", "-tags=failpoints")
	witness     = built("witness", "./test/e2e/witness")
)

// hostBin is where a host has the programs under test.
const hostBin = "/lab/e2e"

// onHost runs f on a host of that kind, which has the programs under test, and binds.
func onHost(t *testing.T, kind labhost.Kind, f func(t *testing.T), binds ...labhost.Bind) {
	t.Helper()
	programs := filepath.Dir(reconciler(t))
	failpointed(t)
	witness(t)
	labhost.Test(t, kind, f, append(binds, labhost.Bind{From: programs, To: hostBin})...)
}

// built returns a function that builds a package of this module once, and returns the program's path. On a host it is there already.
func built(name, pkg string, flags ...string) func(t testing.TB) string {
	build := sync.OnceValues(func() (string, error) {
		path := filepath.Join(hostBin, name)
		if _, err := os.Stat(path); err == nil {
			return path, nil
		}
		path = filepath.Join(bin, "bin", name)
		cmd := exec.Command("go", append(append([]string{"build", "-o", path}, flags...), pkg)...)
		cmd.Dir = filepath.Join("..", "..")
		cmd.Env = append(os.Environ(), "CGO_ENABLED=0")
		var out labhost.Output
		cmd.Stdout, cmd.Stderr = &out, &out
		if err := cmd.Run(); err != nil {
			return "", fmt.Errorf("build %s: %w\n%s", pkg, err, &out)
		}
		return path, nil
	})
	return func(t testing.TB) string {
		t.Helper()
		path, err := build()
		if err != nil {
			t.Fatal(err)
		}
		return path
	}
}
