package main

import (
	"context"
	"errors"
	"fmt"
	"time"
)

// The tags that the sources are built with: as shipped, and with the points where a crash can be ordered.
const failpoints = "-tags=failpoints"

// test is everything that must hold before a change lands, lint aside. Packages narrow the tests down and leave the fuzzing out.
func (c *checker) test(ctx context.Context, packages []string) error {
	if err := c.tool(ctx, nil, "go", "vet", "./..."); err != nil {
		return err
	}
	if err := c.tool(ctx, nil, "go", "vet", failpoints, "./..."); err != nil {
		return err
	}
	all := len(packages) == 0
	if all {
		packages = []string{"./..."}
	}
	r, testErr := c.goTest(ctx, append([]string{"-race"}, packages...)...)
	var crashErr, fuzzErr error
	if all && ctx.Err() == nil {
		crashErr = c.crashTests(ctx, r)
	}
	if all && ctx.Err() == nil {
		fuzzErr = c.fuzz(ctx, shortRound)
	}
	r.print(c.out)
	return errors.Join(testErr, crashErr, fuzzErr)
}

// crashTests runs the packages that have tests for the build with failpoints, and adds them to r.
func (c *checker) crashTests(ctx context.Context, r *report) error {
	dirs, err := crashPackages(c.root)
	if err != nil {
		return err
	}
	if len(dirs) == 0 {
		return errors.New("no package has tests for the build with failpoints")
	}
	more, err := c.goTest(ctx, append([]string{"-race", failpoints}, dirs...)...)
	r.join(more)
	return err
}

// goTest runs go test and returns what it came to; the error says whether that is good. Nothing comes from the cache: the daemons and
// the kernel that tests talk to are no part of its key.
func (c *checker) goTest(ctx context.Context, args ...string) (*report, error) {
	began := time.Now()
	cmd := c.command(ctx, []string{"CGO_ENABLED=1"}, "go", append([]string{"test", "-json", "-count=1", "-timeout=15m"}, args...)...)
	cmd.Stdout = nil
	events, err := cmd.StdoutPipe()
	if err != nil {
		return &report{}, fmt.Errorf("go test: %w", err)
	}
	if err := cmd.Start(); err != nil {
		return &report{}, fmt.Errorf("go test: %w", err)
	}
	r := &report{}
	readErr := r.read(events, c.out)
	waitErr := cmd.Wait()
	fmt.Fprintf(c.out, "== go test %v (%s)\n", args, time.Since(began).Round(100*time.Millisecond))
	if err := r.err(c.strict); err != nil {
		return r, fmt.Errorf("go test: %w", err)
	}
	if err := errors.Join(readErr, waitErr); err != nil {
		return r, fmt.Errorf("go test: %w", err)
	}
	return r, nil
}
