package main

import (
	"context"
	"errors"
	"time"
)

// fuzz runs each target of the module for d. The go command fuzzes one target at a time, on all cores. It would spend a minute on making each interesting
// input smaller, which is all of a short round, so that is cut short.
func (c *checker) fuzz(ctx context.Context, d time.Duration) error {
	targets, err := fuzzTargets(c.root)
	if err != nil {
		return err
	}
	if len(targets) == 0 {
		return errors.New("fuzz: there is no target")
	}
	var errs []error
	for _, t := range targets {
		errs = append(errs, c.tool(ctx, nil, "go", "test", "-run=^$", "-fuzz=^"+t.name+"$", "-fuzztime="+d.String(), "-fuzzminimizetime=10x", t.dir))
		if ctx.Err() != nil {
			break
		}
	}
	return errors.Join(errs...)
}
