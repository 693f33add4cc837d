package main

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync"
	"time"

	"reconciler.dev/reconciler/pkg/drivers"
	"reconciler.dev/reconciler/pkg/reconcile"
)

// site is one host that a verb works on.
type site struct {
	*session               // nil where the host can't be reached
	at       string        // as manifests and --host call it; empty for this machine
	lost     error         // why it can't be reached
	took     time.Duration // to reach it, or to find out that it can't be
}

// name is how messages call the host.
func (s *site) name() string { return hostWord(s.at) }

func hostWord(at string) string {
	if at == "" {
		return "localhost"
	}
	return at
}

// line begins a line of output about a host with its name; about this machine there is nothing to say.
func hostPrefix(at string) string {
	if at == "" {
		return ""
	}
	return clean(at) + ": "
}

// openSites opens hosts side by side, parallel at a time. One that can't be reached is among them, with the reason. An error means that this machine couldn't be opened, or
// that ctx ended; then nothing is left open.
func (c *cli) openSites(ctx context.Context, inv *inventory, at []string, parallel int, o func(at string) reconcile.Options) ([]*site, error) {
	sites := make([]*site, len(at))
	each(parallel, sites, func(i int) {
		sites[i] = c.reach(ctx, inv, at[i], o(at[i]))
	})
	for _, s := range sites {
		if s.lost != nil && (s.at == "" || ctx.Err() != nil) {
			closeSites(sites)
			return nil, s.lost
		}
	}
	return sites, nil
}

// reach opens one host.
func (c *cli) reach(ctx context.Context, inv *inventory, at string, o reconcile.Options) *site {
	began := time.Now()
	s := &site{at: at}
	s.session, s.lost = c.connect(ctx, c, inv, at, o)
	s.took = time.Since(began)
	return s
}

// distinct refuses to act on the same daemons by two names: each would prune what is the other's, and do a second time what the other did.
func distinct(sites []*site) error {
	first := map[string]*site{}
	for _, s := range sites {
		if s.session == nil || s.facts.Keeps == "" {
			continue
		}
		if other := first[s.facts.Keeps]; other != nil {
			return &exit{exitInput, fmt.Errorf("hosts %s and %s are two names of one machine, and what is declared for the one would be pruned for the other: name it in one way, in Host documents, manifests and --host; nothing was changed", other.name(), s.name())}
		}
		first[s.facts.Keeps] = s
	}
	return nil
}

func closeSites(sites []*site) {
	each(len(sites), sites, func(i int) {
		if sites[i].session != nil {
			sites[i].close()
		}
	})
}

// each calls do for the index of each of all, n at a time, and returns when all calls have. Where there is one it is called here.
func each[T any](n int, all []T, do func(i int)) {
	if len(all) == 1 {
		do(0)
		return
	}
	var wg sync.WaitGroup
	slots := make(chan struct{}, max(n, 1))
	for i := range all {
		slots <- struct{}{}
		wg.Go(func() {
			defer func() { <-slots }()
			do(i)
		})
	}
	wg.Wait()
}

// beyond says whether there is more to show than this machine: then it is said which host is meant.
func beyond(sites []*site) bool {
	for _, s := range sites {
		if s.at != "" {
			return true
		}
	}
	return false
}

func siteNames(sites []*site) string {
	names := make([]string, len(sites))
	for i, s := range sites {
		names[i] = s.name()
	}
	return strings.Join(names, ", ")
}

// unreached is what a verb that looks ends with: err, and why some of the hosts couldn't be reached. Where others could, that is a partial failure.
func unreached(sites []*site, err error) error {
	var errs []error
	for _, s := range sites {
		if s.lost != nil {
			errs = append(errs, s.lost)
		}
	}
	switch {
	case errs == nil:
		return err
	case len(errs) == len(sites):
		return errors.Join(append(errs, err)...)
	}
	return &exit{exitPartial, errors.Join(append(errs, err)...)}
}

// lose tells a person that the link to a host was lost while a verb followed it, and says whether that is what err is.
func (c *cli) lose(s *site, err error) bool {
	if s.at == "" || !errors.Is(err, drivers.ErrUnreachable) {
		return false
	}
	c.note("%s%v", hostPrefix(s.at), err)
	return true
}

// chosen returns the hosts that --host and -A name, this machine where neither is given, and the inventory that says how they are reached.
func (c *cli) chosen(h hostFlags) (*inventory, []string, error) {
	if h.here() {
		return nil, []string{""}, nil
	}
	inv, err := c.declaredHosts()
	if err != nil {
		return nil, nil, err
	}
	return inv, h.among(inv), nil
}
