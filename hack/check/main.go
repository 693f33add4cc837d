// Command check is what stands behind `make test`, `make lint`, `make fuzz` and `make cover`: it runs the go command's own tools in a fixed order,
// shows what a person has to look at, and exits 0 only when all is well.
//
// It changes nothing outside .cache/, bin/ and coverage.*, and it never calls a test that was skipped a test that passed.
//
//	go run ./hack/check test [PACKAGE...]    vet, every test with -race, a short round of every fuzz target
//	go run ./hack/check lint                 formatting, vet, staticcheck, errors, go.mod, builds for every platform
//	go run ./hack/check fuzz [-time 1m]      a longer round of every fuzz target
//	go run ./hack/check cover                the tests with coverage, and the packages with least of it
package main

import (
	"context"
	"flag"
	"fmt"
	"io"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"strings"
	"syscall"
	"time"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	if err := run(ctx, os.Args[1:], os.Getenv("CI") != ""); err != nil {
		fmt.Fprintf(os.Stderr, "check: %v\n", err)
		os.Exit(1)
	}
}

// run does one of the commands above, in the module's root. With strict, a skipped test is a failure.
func run(ctx context.Context, args []string, strict bool) error {
	root, err := moduleRoot(ctx)
	if err != nil {
		return err
	}
	if len(args) == 0 {
		return fmt.Errorf("say what: test, lint, fuzz or cover")
	}
	c := &checker{root: root, out: os.Stdout, strict: strict}
	switch args[0] {
	case "test":
		return c.test(ctx, args[1:])
	case "lint":
		return c.lint(ctx)
	case "fuzz":
		flags := flag.NewFlagSet("fuzz", flag.ExitOnError)
		long := flags.Duration("time", time.Minute, "how long each target is fuzzed")
		_ = flags.Parse(args[1:]) // ExitOnError: it doesn't return one
		return c.fuzz(ctx, long.String())
	case "cover":
		return c.cover(ctx)
	}
	return fmt.Errorf("don't know %q: say test, lint, fuzz or cover", args[0])
}

// checker runs tools in the module's root and writes what they say to out.
type checker struct {
	root   string
	out    io.Writer
	strict bool
}

// command prepares a tool with env on top of our environment. An ended ctx interrupts it as ^C would, so that tests clean up.
func (c *checker) command(ctx context.Context, env []string, name string, args ...string) *exec.Cmd {
	cmd := exec.CommandContext(ctx, name, args...)
	cmd.Dir = c.root
	cmd.Env = append(os.Environ(), env...)
	cmd.Stdout, cmd.Stderr = c.out, c.out
	cmd.Cancel = func() error { return cmd.Process.Signal(os.Interrupt) }
	cmd.WaitDelay = 20 * time.Second
	return cmd
}

// tool runs a tool to its end, under a headline with what it took.
func (c *checker) tool(ctx context.Context, env []string, name string, args ...string) error {
	line := strings.Join(append(append([]string{}, env...), append([]string{filepath.Base(name)}, args...)...), " ")
	began := time.Now()
	err := c.command(ctx, env, name, args...).Run()
	fmt.Fprintf(c.out, "== %s (%s)\n", line, time.Since(began).Round(100*time.Millisecond))
	if err != nil {
		return fmt.Errorf("%s: %w", line, err)
	}
	return nil
}

func moduleRoot(ctx context.Context) (string, error) {
	out, err := exec.CommandContext(ctx, "go", "env", "GOMOD").Output()
	if err != nil {
		return "", fmt.Errorf("find the module with go env GOMOD: %w", err)
	}
	file := strings.TrimSpace(string(out))
	if filepath.Base(file) != "go.mod" {
		return "", fmt.Errorf("find the module: not inside one")
	}
	return filepath.Dir(file), nil
}
