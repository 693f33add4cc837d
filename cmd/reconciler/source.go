package main

import (
	"context"
	"fmt"

	"reconciler.dev/reconciler/pkg/reconcile"
	"reconciler.dev/reconciler/pkg/spec"
)

// source is what a run keeps: the manifests, watched, and the last good ones of them while they don't load.
func (c *cli) source(in inputs, say func(reconcile.Progress)) (reconcile.Source, error) {
	sel, err := parseSelector(in.Selector)
	if err != nil {
		return nil, err
	}
	files := reconcile.NewFileSource(in.Files, reconcile.FileOptions{
		Load:    spec.LoadOptions{Recursive: in.Recursive, Stdin: c.in},
		Resolve: c.resolveOptions(),
		Report:  func(err error) { say(reconcile.Progress{Phase: "watching", Message: err.Error()}) },
	})
	return reconcile.LastGood(chosen{files, in, sel}, func(err error) {
		if err == nil {
			say(reconcile.Progress{Phase: "manifests", Message: "they load again"})
			return
		}
		say(reconcile.Progress{Phase: "manifests", Message: err.Error()})
	}), nil
}

// chosen is the part of a source that a selector matches. An empty set is an error: a run would take it for "nothing is wanted".
type chosen struct {
	reconcile.Source
	in  inputs
	sel spec.Selector
}

func (s chosen) Load(ctx context.Context) ([]*spec.Daemon, error) {
	all, err := s.Source.Load(ctx)
	if err != nil {
		return nil, err
	}
	if s.in.Selector == "" {
		return all, nil
	}
	var kept []*spec.Daemon
	for _, d := range all {
		if s.sel.Matches(d.Labels) {
			kept = append(kept, d)
		}
	}
	if kept == nil {
		return nil, fmt.Errorf("choose daemons: none of the %d in the manifests matches -l %s", len(all), s.in.Selector)
	}
	return kept, nil
}
