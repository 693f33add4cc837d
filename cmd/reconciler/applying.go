package main

import (
	"context"
	"errors"
	"fmt"
	"strconv"
	"time"

	"reconciler.dev/reconciler/pkg/reconcile"
)

// applyAll does what the reviews say, on several hosts side by side. What is to go goes last of all, when the rest went well.
func (c *cli) applyAll(ctx context.Context, rs *reviews, a *applyFlags) []done {
	o := reconcile.ApplyOptions{Wait: a.wait, Timeout: limit(*a.timeout), Rollback: a.rollback}
	results := rs.planned()
	gone := make([][]reconcile.Item, len(rs.all))
	each(a.parallel, rs.all, func(i int) {
		r := rs.all[i]
		if r.review == nil {
			c.tellHost(len(results), results[i])
			return
		}
		o, review := o, *r.review
		if len(rs.all) > 1 {
			review.Items, gone[i] = keepAndGo(review.Items)
			o.Settle = len(gone[i]) > 0
		}
		results[i] = r.apply(ctx, &review, o)
		results[i].took += r.took
		c.tellHost(len(results), results[i])
	})
	waiting := unproven(results)
	each(a.parallel, rs.all, func(i int) {
		if len(gone[i]) > 0 {
			results[i] = rs.all[i].prune(ctx, gone[i], o, waiting, results[i])
		}
	})
	return results
}

// apply does what a review of one host says.
func (r *reviewed) apply(ctx context.Context, review *reconcile.Review, o reconcile.ApplyOptions) done {
	began := time.Now()
	d := done{host: r.at}
	if d.err = r.prepare(); d.err == nil {
		d.items, d.err = r.Apply(ctx, review, o)
	}
	d.took = time.Since(began)
	return d
}

// unproven are the daemons, with their hosts, that are wanted on a host where not everything went well. Where one of that name is to go elsewhere, it may be on its way there.
func unproven(results []done) map[string]string {
	waiting := map[string]string{}
	for _, d := range results {
		if d.err == nil {
			continue
		}
		for _, it := range d.items {
			waiting[it.Name] = hostWord(d.host)
		}
	}
	return waiting
}

// prune removes from a host what is to go. d is what became of the rest there.
func (r *reviewed) prune(ctx context.Context, gone []reconcile.Item, o reconcile.ApplyOptions, waiting map[string]string, d done) done {
	why := ""
	if d.err != nil {
		why = "not everything else went well"
		d.err = errors.Join(d.err, fmt.Errorf("nothing was pruned on %s, because %s", r.name(), why))
	}
	for _, it := range gone {
		if at, moves := waiting[it.Name]; moves && why == "" {
			why = fmt.Sprintf("daemon %s is declared for %s, where not everything went well", it.Name, at)
		}
	}
	if why != "" {
		for _, it := range gone {
			it.Action, it.Reason = reconcile.Skipped, why
			d.items = append(d.items, it)
		}
		return d
	}
	pruned := r.apply(ctx, &reconcile.Review{Items: gone}, o)
	d.items, d.err = append(d.items, pruned.items...), pruned.err
	d.took += pruned.took
	return d
}

// tellHost tells a person who watches that a host among several is done.
func (c *cli) tellHost(of int, d done) {
	if of > 1 && c.watched() {
		c.note("%s: %s", hostWord(d.host), d.summary())
	}
}

// tally counts what became of daemons.
type tally struct{ changed, unchanged, failed, unknown int }

func (d done) tally() (t tally) {
	for _, it := range d.items {
		switch {
		case d.lost:
			t.unknown++
		case it.Err != nil:
			t.failed++
		case it.Action == reconcile.Frozen:
			t.unknown++
		case it.Action == reconcile.Unchanged, it.Action == reconcile.RolloutPaused, it.Action == reconcile.Paused, it.Action == reconcile.Waiting, it.Action == reconcile.Skipped:
			t.unchanged++
		default:
			t.changed++
		}
	}
	return t
}

func (d done) summary() string {
	t := d.tally()
	text := fmt.Sprintf("%d changed, %d unchanged, %d failed", t.changed, t.unchanged, t.failed)
	switch {
	case d.lost:
		text = "unreachable"
	case t.unknown > 0:
		text += fmt.Sprintf(", %d unknown", t.unknown)
	}
	return fmt.Sprintf("%s (%s)", text, d.took.Round(time.Millisecond))
}

// state is one word for how it went on a host.
func (d done) state() string {
	switch {
	case d.lost:
		return "unreachable"
	case d.err != nil || errors.Join(errorsOf(d.items)...) != nil:
		return "failed"
	}
	return "done"
}

func errorsOf(items []reconcile.Item) []error {
	errs := make([]error, len(items))
	for i, it := range items {
		errs[i] = it.Err
	}
	return errs
}

// printSummary tells in a line for each host how it went there.
func (c *cli) printSummary(all []done) error {
	t := &table{out: c.out, header: []string{"HOST", "STATE", "CHANGED", "UNCHANGED", "FAILED", "UNKNOWN", "TIME"}}
	for _, d := range all {
		n := d.tally()
		t.add(hostWord(d.host), d.state(), strconv.Itoa(n.changed), strconv.Itoa(n.unchanged), strconv.Itoa(n.failed), strconv.Itoa(n.unknown), d.took.Round(time.Millisecond).String())
	}
	if _, err := c.out.Write([]byte("\n")); err != nil {
		return err
	}
	return t.flush()
}
