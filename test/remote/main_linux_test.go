package remote

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

	"reconciler.dev/reconciler/internal/testprog"
	"reconciler.dev/reconciler/test/labhost"
)

// bin is where this run of the tests builds the programs; main makes it and takes it away.
var bin string

func TestMain(m *testing.M) { labhost.Main(whole{m}) }

// whole is all that this package does around its tests.
type whole struct{ m *testing.M }

func (w whole) Run() int {
	dir, err := os.MkdirTemp("", "reconciler-remote-")
	if err != nil {
		fmt.Fprintln(os.Stderr, "make a directory for the programs under test:", err)
		return 1
	}
	defer os.RemoveAll(dir)
	bin = dir
	// Most of a test is waiting for hosts, so more of them than there are CPUs run side by side; not so many that their agents' watches use up what the hosts leave of inotify.
	flag.Parse()
	if parallel := flag.Lookup("test.parallel"); parallel.Value.String() == strconv.Itoa(runtime.GOMAXPROCS(0)) {
		if err := parallel.Value.Set(strconv.Itoa(min(4*runtime.GOMAXPROCS(0), 8))); err != nil {
			fmt.Fprintln(os.Stderr, err)
			return 1
		}
	}
	return w.m.Run()
}

// The programs under test, each built when the first test asks for it.
var (
	reconciler  = built("reconciler", "./cmd/reconciler")
	witness     = built("witness", "./test/e2e/witness")
	testprogram = built("testprog", testprog.Package)
)

// hostBin is where a host that runs a test of this package has the programs.
const hostBin = "/lab/bin"

// built returns a function that builds a package of this module once, and returns the program's path. A host that runs a test of this package has it already.
func built(name, pkg string) func(t testing.TB) string {
	build := sync.OnceValues(func() (string, error) {
		path := filepath.Join(hostBin, name)
		if _, err := os.Stat(path); err == nil {
			return path, nil
		}
		path = filepath.Join(bin, name)
		cmd := exec.Command("go", "build", "-o", path, pkg)
		cmd.Dir = filepath.Join("..", "..")
		cmd.Env = append(os.Environ(), "CGO_ENABLED=0")
		if out, err := cmd.CombinedOutput(); err != nil {
			return "", fmt.Errorf("build %s: %w\n%s", pkg, err, out)
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
