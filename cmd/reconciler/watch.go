package main

import (
	"context"
	"encoding/json"
	"maps"
	"slices"
	"time"

	"reconciler.dev/reconciler/pkg/reconcile"
	"reconciler.dev/reconciler/pkg/spec"
)

// watch prints each view that differs from the one printed before, until ctx ends. What goes away is printed as Absent. It wakes up when something happened.
func (c *cli) watch(ctx context.Context, s *session, f getFlags, names []string, shown []reconcile.View, show func([]reconcile.View) error) error {
	sel, err := parseSelector(f.selector)
	if err != nil {
		return err
	}
	w := watcher{last: map[string]string{}, wanted: func(o spec.Observed) bool {
		return f.selector == "" || o.Stamp != nil && sel.Matches(o.Stamp.Labels)
	}}
	w.news(shown)
	var failed error
	err = s.Follow(ctx, names, func(views []reconcile.View) bool {
		if news := w.news(views); len(news) > 0 {
			failed = show(news)
		}
		return failed == nil
	})
	if failed != nil {
		return failed
	}
	if ctx.Err() != nil {
		return nil // ^C is how a watch ends
	}
	return err
}

// watcher knows what was shown last of each daemon.
type watcher struct {
	last   map[string]string
	wanted func(spec.Observed) bool
}

// news returns the views that say something else than the last ones did, and one for each daemon that is no longer among them.
func (w *watcher) news(views []reconcile.View) (news []reconcile.View) {
	there := make(map[string]bool, len(views))
	for _, v := range views {
		o := v.Observed
		last, known := w.last[o.Name]
		if !known && (o.State == spec.Absent || !w.wanted(o)) {
			continue
		}
		there[o.Name] = o.State != spec.Absent
		if now := fingerprint(v); now != last {
			w.last[o.Name] = now
			news = append(news, v)
		}
	}
	for _, name := range slices.Sorted(maps.Keys(w.last)) {
		if there[name] {
			continue
		}
		if !slices.ContainsFunc(news, func(v reconcile.View) bool { return v.Observed.Name == name }) {
			news = append(news, reconcile.View{Observed: spec.Observed{Name: name, State: spec.Absent}})
		}
		delete(w.last, name)
	}
	return news
}

// fingerprint is what a watcher wants to see a change of: all but the clocks.
func fingerprint(v reconcile.View) string {
	o := makeObject("", v)
	for i := range o.Status.Conditions {
		o.Status.Conditions[i].LastTransitionTime = time.Time{}
	}
	b, _ := json.Marshal(o) // cannot fail: makeObject's types marshal
	return string(b)
}
