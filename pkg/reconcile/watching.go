package reconcile

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"sync"
)

// watch arms the watches, each in a goroutine, and returns when all are armed or have failed.
func (k *keeping) watch(ctx context.Context, wg *sync.WaitGroup) {
	var armed sync.WaitGroup
	ds := k.loop.host.Drivers()
	armed.Add(1 + len(ds))
	start := func(what string, missed chan struct{}, watch func(changed func(name string)) error) {
		once := sync.OnceFunc(armed.Done)
		wg.Go(func() {
			defer once()
			for try := 1; ctx.Err() == nil; try++ {
				err := watch(func(name string) {
					once()
					k.unwatched.sees(what)
					if name == "" {
						signal(missed)
					} else if k.loop.entry(name) != nil {
						k.loop.queue.Add(name)
					}
				})
				if ctx.Err() != nil || k.loop.cut() {
					return
				}
				k.unwatched.fails(what, err)
				if try == 1 {
					once()
					armed.Wait() // so that what fails for the same reason is told as one
				}
				k.tellUnwatched()
				k.loop.opt.Log.Error(err, "watch", "host", k.loop.host.Name(), "what", what)
				if sleep(ctx, RetryDelay(what, try)) != nil {
					return
				}
			}
		})
	}
	start("the manifests", k.reload, func(changed func(string)) error {
		return k.src.Watch(ctx, func() { changed("") })
	})
	for _, d := range ds {
		start("the "+string(d.Kind())+" daemons", k.relist, func(changed func(string)) error { return d.Watch(ctx, changed) })
	}
	armed.Wait()
	empty(k.reload)
	empty(k.relist)
}

func (k *keeping) tellUnwatched() {
	for _, what := range k.unwatched.news() {
		k.loop.report("", "not watching", fmt.Sprintf("%s; looking every %s instead", what, k.opt.Resync))
	}
}

// unwatched is what a run can't watch now. A reason is told once, however much it keeps from being watched and however often that is tried, until there is none for it any more: a machine that has
// run out of inotify instances has so for every driver.
type unwatched struct {
	mu   sync.Mutex
	why  map[string]error // by what isn't watched
	told map[string]bool  // by reason
}

// fails notes that something can't be watched.
func (u *unwatched) fails(what string, err error) {
	u.mu.Lock()
	defer u.mu.Unlock()
	if u.why == nil {
		u.why, u.told = map[string]error{}, map[string]bool{}
	}
	u.why[what] = err
}

// sees notes that something is watched.
func (u *unwatched) sees(what string) {
	u.mu.Lock()
	defer u.mu.Unlock()
	if _, was := u.why[what]; !was {
		return
	}
	delete(u.why, what)
	left := map[string]bool{}
	for _, err := range u.why {
		left[reason(err)] = true
	}
	maps.DeleteFunc(u.told, func(reason string, _ bool) bool { return !left[reason] })
}

// news returns a line for each reason that wasn't told yet: what isn't watched for it, and the reason.
func (u *unwatched) news() (lines []string) {
	u.mu.Lock()
	defer u.mu.Unlock()
	whats := map[string][]string{}
	for _, what := range slices.Sorted(maps.Keys(u.why)) {
		if r := reason(u.why[what]); !u.told[r] {
			whats[r] = append(whats[r], what)
		}
	}
	for _, r := range slices.Sorted(maps.Keys(whats)) {
		u.told[r] = true
		lines = append(lines, fmt.Sprintf("%s: %v", strings.Join(whats[r], ", "), u.why[whats[r][0]]))
	}
	return lines
}

// reason is what lies at the ground of an error.
func reason(err error) string {
	for {
		next := errors.Unwrap(err)
		if next == nil {
			return err.Error()
		}
		err = next
	}
}
