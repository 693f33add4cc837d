package main

import (
	"reconciler.dev/reconciler/pkg/programs"
	"reconciler.dev/reconciler/pkg/reconcile"
	"reconciler.dev/reconciler/pkg/spec"
)

// source is what a run keeps: the manifests, watched, and the last good ones of them while they don't load.
func (c *cli) source(in inputs, set string, maker *programs.Maker, say func(at string, p reconcile.Progress)) (*reconcile.FleetSource, error) {
	sel, err := parseSelector(in.Selector)
	if err != nil {
		return nil, err
	}
	return reconcile.NewFleetSource(in.Files, reconcile.FleetOptions{
		FileOptions: reconcile.FileOptions{
			Load:     spec.LoadOptions{Recursive: in.Recursive, Stdin: c.in, Hosts: c.hostsDirs()},
			Resolve:  c.resolveOptions(),
			Programs: func() reconcile.FindProgram { return maker.Begin(programs.Make).Find },
			Report:   func(err error) { say("", reconcile.Progress{Phase: "watching", Message: err.Error()}) },
		},
		Here: func(hosts []spec.HostManifest) (func(string) bool, error) { return c.newInventory(hosts).isLocal, nil },
		Choose: func(all []spec.Manifest) ([]spec.Manifest, error) {
			c.remember(in, set, all)
			return in.chosen(sel, all)
		},
		Problem: func(host string, err error) {
			if err == nil {
				say(host, reconcile.Progress{Phase: "manifests", Message: "they load again"})
				return
			}
			say(host, reconcile.Progress{Phase: "manifests", Message: err.Error()})
		},
		Unmade: func(host string, err error) {
			if err == nil {
				say(host, reconcile.Progress{Phase: "programs", Message: "all are made again"})
				return
			}
			say(host, reconcile.Progress{Phase: "programs", Message: err.Error()})
		},
	}), nil
}
