package main

import (
	"context"
	"errors"
)

// shortRound is how many inputs each target gets in a short round: a second or two. It is a number and no time, because the go command, when the time
// of a round is up, now and then calls the target it has in hand a failed one: "context deadline exceeded".
const shortRound = "5000x"

// fuzz runs each target of the module for as long as -fuzztime takes it: a time, or a number of inputs. The go command fuzzes one target at a time, on all cores. It would
// spend a minute on making each interesting input smaller, which is all of a short round, so that is cut short.
func (c *checker) fuzz(ctx context.Context, round string) error {
	targets, err := fuzzTargets(c.root)
	if err != nil {
		return err
	}
	if len(targets) == 0 {
		return errors.New("fuzz: there is no target")
	}
	var errs []error
	for _, t := range targets {
		errs = append(errs, c.tool(ctx, nil, "go", "test", "-run=^$", "-fuzz=^"+t.name+"$", "-fuzztime="+round, "-fuzzminimizetime=10x", t.dir))
		if ctx.Err() != nil {
			break
		}
	}
	return errors.Join(errs...)
}
