package main

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"os"
	"slices"
	"strconv"
	"strings"
	"time"

	"reconciler.dev/reconciler/internal/plaintext"
	"reconciler.dev/reconciler/pkg/drivers"
	"reconciler.dev/reconciler/pkg/spec"
)

// stranger is what runs in our slices on a host and isn't ours, for programs.
type stranger struct {
	Host   string          `json:"host"`
	Driver spec.DriverKind `json:"driver"`
	drivers.Stranger
}

// checkUnmanaged refuses what makes no sense with --unmanaged.
func (f getFlags) checkUnmanaged(args []string) error {
	switch {
	case len(args) > 0 || f.Selector != "" || len(f.Files) > 0:
		return usagef("--unmanaged lists what isn't ours, so it takes no NAME, -l or -f")
	case f.watch:
		return usagef("--unmanaged and -w don't go together")
	}
	return f.hostFlags.check()
}

// unmanaged lists what runs in our slices and isn't ours.
func (c *cli) unmanaged(ctx context.Context, sites []*site, f getFlags) error {
	found, errs := make([][]stranger, len(sites)), make([]error, len(sites))
	each(f.parallel, sites, func(i int) {
		if sites[i].lost == nil {
			found[i], errs[i] = sites[i].strangers(ctx)
		}
	})
	blind := 0
	for i, err := range errs {
		switch {
		case errors.Is(err, drivers.ErrUnsupported):
			blind++
			errs[i] = fmt.Errorf("look for what isn't ours on %s: %w", sites[i].name(), err)
		case err != nil:
			return err
		}
	}
	if blind == len(sites) {
		return errors.Join(errs...)
	}
	for _, err := range errs {
		if err != nil {
			c.note("%v", err)
		}
	}
	all := slices.Concat(found...)
	if err := c.printStrangers(all, f, sites); err != nil {
		return err
	}
	if len(all) == 0 && blind == 0 && len(there(sites)) > 0 && (f.out.value == "" || f.out.value == "wide") {
		c.note("Nothing runs in our slices on %s that isn't ours.", siteNames(there(sites)))
	}
	return unreached(sites, nil)
}

// there are the sites that can be reached.
func there(sites []*site) []*site {
	return slices.DeleteFunc(slices.Clone(sites), func(s *site) bool { return s.lost != nil })
}

// strangers asks the drivers of a host. What two of them see is told once, and processes that are a daemon's of ours, under whatever driver, are nobody's else.
func (s *site) strangers(ctx context.Context) ([]stranger, error) {
	var all []stranger
	var why error
	able := false
	for _, d := range s.host.Drivers() {
		surveyor, ok := drivers.Find[drivers.Surveyor](d)
		if !ok {
			continue
		}
		found, err := surveyor.Strangers(ctx)
		switch {
		case errors.Is(err, drivers.ErrUnsupported):
			why = err
			continue
		case err != nil:
			return nil, err
		}
		able = true
		for _, one := range found {
			if !slices.ContainsFunc(all, func(o stranger) bool { return o.Cgroup == one.Cgroup }) {
				all = append(all, stranger{s.name(), d.Kind(), one})
			}
		}
	}
	if !able {
		return nil, cmp.Or(why, fmt.Errorf("no driver puts daemons into cgroups there: %w", drivers.ErrUnsupported))
	}
	return s.withoutOurs(ctx, all)
}

// withoutOurs leaves out processes of daemons of ours, and this one.
func (s *site) withoutOurs(ctx context.Context, all []stranger) ([]stranger, error) {
	if len(all) == 0 {
		return nil, nil
	}
	ours, err := s.host.Stats(ctx, drivers.StatsQuery{Bare: true})
	if err != nil {
		return nil, err
	}
	managed := map[int]bool{}
	if s.at == "" {
		managed[os.Getpid()] = true
	}
	for _, one := range ours {
		for _, pid := range one.PIDs {
			managed[pid] = true
		}
	}
	kept := all[:0]
	for _, one := range all {
		one.PIDs = slices.DeleteFunc(slices.Clone(one.PIDs), func(pid int) bool { return managed[pid] })
		if len(one.PIDs) > 0 {
			kept = append(kept, one)
		}
	}
	return kept, nil
}

// commandShown is how much of a command a table has room for.
const commandShown = 60

func (c *cli) printStrangers(all []stranger, f getFlags, sites []*site) error {
	switch f.out.value {
	case "", "wide":
	case "name":
		for _, s := range all {
			prefix := ""
			if s.Host != hostWord("") {
				prefix = hostPrefix(s.Host)
			}
			c.say("%s%s/%s", prefix, clean(string(s.Kind)), clean(s.Name))
		}
		return nil
	case goTemplate:
		return f.out.execute(c, listOf(all))
	default:
		return c.encode(f.out.value, listOf(all))
	}
	t := table{out: c.out}
	hosts, wide := beyond(sites), f.out.value == "wide"
	if !f.noHeaders {
		t.header = []string{"KIND", "NAME", "PIDS", "USER", "AGE", "COMMAND"}
		if hosts {
			t.header = slices.Insert(t.header, 0, "HOST")
		}
		if wide {
			t.header = append(t.header, "CGROUP", "OWNER")
		}
	}
	for _, s := range all {
		up, command := "", plaintext.Line(strings.Join(s.Command, " "), commandShown)
		if !s.Since.IsZero() {
			up = age(time.Since(s.Since))
		}
		row := []string{string(s.Kind), s.Name, cellOf(s.PIDs, strconv.Itoa), cmp.Or(s.User, unknown), cmp.Or(up, unknown), cmp.Or(command, unknown)}
		if hosts {
			row = slices.Insert(row, 0, s.Host)
		}
		if wide {
			row = append(row, s.Cgroup, s.Owner)
		}
		t.add(row...)
	}
	return t.flush()
}
