package main

import (
	"context"
	"fmt"
	"os"
	"path/filepath"

	"reconciler.dev/reconciler/internal/loadgen"
	"reconciler.dev/reconciler/test/outage"
)

// outages is how often a daemon under load is rebuilt, killed and rolled back, each, and outageRate how many requests are begun a second meanwhile.
const (
	outages    = 20
	outageRate = 1000
)

// refused counts the connections that are refused while a daemon under load is rebuilt, killed and rolled back: one whose socket is held, and then one that opens its own: two loads at once would be more than a small machine answers.
func (b *bench) refused(ctx context.Context) ([]row, error) {
	if b.reconciler == "" || b.hello == "" {
		return nil, nil
	}
	var results [2]loadgen.Result
	for i, name := range []string{"held", "own"} {
		dir := filepath.Join(b.dir, name)
		if err := os.Mkdir(dir, 0o755); err != nil {
			return nil, err
		}
		var err error
		results[i], err = outage.Run(ctx, outage.Options{
			Reconciler: b.reconciler, Hello: b.hello, Dir: dir, Driver: b.driver, Name: name, Listen: name == "held", Times: outages, Rate: outageRate,
		})
		if err != nil {
			return nil, err
		}
	}
	held, own := results[0], results[1]
	b.progress("socket held: %s", held)
	b.progress("its own socket: %s", own)
	what := fmt.Sprintf("%d requests/s through %d rebuilds, kills and rollbacks each", outageRate, outages)
	return []row{
		{what: what + ", socket held: refused", ours: figures{float64(held.Refused)}, bar: 0.5},
		{what: "the same: late, or answered otherwise", ours: figures{float64(held.Late + held.Other)}, bar: 0.5},
		{what: "the same: cut in the middle, as what a killed process had in hand", ours: figures{float64(held.Cut)}},
		{what: "the same without listen: refused", ours: figures{float64(own.Refused)}},
	}, nil
}
