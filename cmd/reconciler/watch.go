package main

import (
	"context"
	"encoding/json"
	"errors"
	"maps"
	"slices"
	"sync"
	"time"

	"reconciler.dev/reconciler/pkg/reconcile"
	"reconciler.dev/reconciler/pkg/spec"
)

// watch prints each view that differs from the one printed before, until ctx ends. What goes away is printed as Absent. It wakes up when something happened. A host
// whose link is lost is told of and no longer watched.
func (c *cli) watch(ctx context.Context, f getFlags, shown []seen, show func(...seen) error) error {
	sel, err := parseSelector(f.Selector)
	if err != nil {
		return err
	}
	follow, stop := context.WithCancel(ctx)
	defer stop()
	var mu sync.Mutex
	var failed error
	lost := make([]bool, len(shown))
	errs := make([]error, len(shown))
	each(len(shown), shown, func(i int) {
		w := watcher{last: map[string]string{}, wanted: func(o spec.Observed) bool {
			return f.Selector == "" || o.Stamp != nil && sel.Matches(o.Stamp.Labels)
		}}
		w.news(shown[i].views)
		errs[i] = shown[i].Follow(follow, shown[i].named, func(views []reconcile.View) bool {
			news := w.news(views)
			if len(news) == 0 {
				return true
			}
			now := seen{site: shown[i].site, named: shown[i].named, views: news}.withDetails(follow, f)
			mu.Lock()
			defer mu.Unlock()
			if failed = errors.Join(failed, show(now)); failed != nil {
				stop()
			}
			return failed == nil
		})
		if follow.Err() == nil && len(shown) > 1 && c.lose(shown[i].site, errs[i]) {
			errs[i], lost[i] = nil, true
		}
	})
	switch {
	case failed != nil:
		return failed
	case ctx.Err() != nil:
		return nil // ^C is how a watch ends
	}
	if err := errors.Join(errs...); err != nil || !slices.Contains(lost, true) {
		return err
	}
	return &exit{code: exitPartial}
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
