package main

import (
	"errors"
	"fmt"
	"slices"
	"strings"

	"reconciler.dev/reconciler/internal/layout"
	"reconciler.dev/reconciler/pkg/drivers"
	"reconciler.dev/reconciler/pkg/drivers/cgroup"
	"reconciler.dev/reconciler/pkg/drivers/local"
	"reconciler.dev/reconciler/pkg/drivers/process"
	"reconciler.dev/reconciler/pkg/drivers/systemd"
	"reconciler.dev/reconciler/pkg/spec"
)

// candidate is a way of running daemons that this kind of machine may have. open returns the driver; or an error with a *drivers.Unavailable, and with it
// the driver all the same where it can still look after what it has started; any other error means that it can't be told. left finds the daemons that it may
// have though it can't be opened; nil where there can be none.
type candidate struct {
	kind spec.DriverKind
	open func(layout.Dirs) (drivers.Driver, error)
	left func(layout.Dirs) ([]string, error)
}

// candidates are the drivers in the order in which auto prefers them.
func candidates() []candidate {
	return []candidate{
		{spec.DriverSystemd, func(d layout.Dirs) (drivers.Driver, error) { return opened(systemd.New(systemd.Options{Dirs: d})) }, func(layout.Dirs) ([]string, error) { return systemd.Left() }},
		{
			spec.DriverCgroup,
			func(d layout.Dirs) (drivers.Driver, error) { return opened(cgroup.New(cgroup.Options{Dirs: d})) },
			func(d layout.Dirs) ([]string, error) { return process.Left(d, spec.DriverCgroup) },
		},
		{spec.DriverProcess, func(d layout.Dirs) (drivers.Driver, error) { return opened(process.New(process.Options{Dirs: d})) }, nil},
	}
}

// opened keeps a nil pointer from becoming a driver.
func opened[D interface {
	comparable
	drivers.Driver
}](d D, err error) (drivers.Driver, error) {
	if none := *new(D); d == none {
		return nil, err
	}
	return d, err
}

// detected is what this machine has.
type detected struct {
	// chosen are what auto picks from, the best first; others look after the daemons they have.
	chosen, others []drivers.Driver
	// lacks are those that it doesn't have; order is that in which auto prefers drivers, those that it lacks included.
	lacks []*drivers.Unavailable
	order []spec.DriverKind
}

// detect opens the candidates, those that prefer names first and in its order; nil prefers all as they stand. A driver of which it can't be told whether the
// machine has it is an error: to fall back then could start a second copy of what it runs.
func detect(cs []candidate, dirs layout.Dirs, prefer []spec.DriverKind) (detected, error) {
	var d detected
	for _, c := range ranked(cs, prefer) {
		wanted := prefer == nil || slices.Contains(prefer, c.kind)
		if wanted {
			d.order = append(d.order, c.kind)
		}
		driver, err := c.open(dirs)
		var lack *drivers.Unavailable
		if errors.Is(err, drivers.ErrUnsupported) && !errors.As(err, &lack) {
			err = &drivers.Unavailable{Kind: c.kind, Reason: err.Error()}
		}
		switch {
		case errors.As(err, &lack):
			d.lacks = append(d.lacks, lack)
			keeper, err := c.keeper(driver, dirs, lack)
			if err != nil {
				return detected{}, err
			}
			if keeper != nil {
				d.others = append(d.others, keeper)
			}
		case err != nil:
			return detected{}, fmt.Errorf("find out whether this machine has the %s driver: %w", c.kind, err)
		case wanted:
			d.chosen = append(d.chosen, driver)
		default:
			d.others = append(d.others, driver)
		}
	}
	return d, nil
}

// open is this machine with what it was found to have.
func (d detected) open(dirs layout.Dirs) *local.Host {
	h := local.New(dirs, d.chosen...)
	h.Besides(d.others...)
	h.Lacks(d.order, d.lacks...)
	return h
}

// keeper returns what looks after the daemons of a driver that the machine lacks; nil where there are none.
func (c candidate) keeper(driver drivers.Driver, dirs layout.Dirs, why *drivers.Unavailable) (drivers.Driver, error) {
	if driver != nil {
		return drivers.Keeping(driver, why), nil
	}
	if c.left == nil {
		return nil, nil
	}
	names, err := c.left(dirs)
	if err != nil || len(names) == 0 {
		return nil, err
	}
	return drivers.Stranded(why, func() ([]string, error) { return c.left(dirs) }), nil
}

// ranked sorts candidates by what is preferred, the others after them in their own order.
func ranked(cs []candidate, prefer []spec.DriverKind) []candidate {
	rank := func(c candidate) int {
		if i := slices.Index(prefer, c.kind); i >= 0 {
			return i
		}
		return len(prefer)
	}
	cs = slices.Clone(cs)
	slices.SortStableFunc(cs, func(a, b candidate) int { return rank(a) - rank(b) })
	return cs
}

// driverKinds reads a list of drivers, as --drivers takes it; nil where it is empty.
func driverKinds(list string) ([]spec.DriverKind, error) {
	if list == "" {
		return nil, nil
	}
	var known []string
	for _, k := range []spec.DriverKind{spec.DriverSystemd, spec.DriverCgroup, spec.DriverProcess, spec.DriverLaunchd, spec.DriverJob} {
		known = append(known, string(k))
	}
	var kinds []spec.DriverKind
	for word := range strings.SplitSeq(list, ",") {
		word = strings.TrimSpace(word)
		switch k := spec.DriverKind(word); {
		case !slices.Contains(known, word):
			return nil, usagef("--drivers=%s (RECONCILER_DRIVERS): there is no driver %q; write some of %s, the best first", list, word, strings.Join(known, ","))
		case slices.Contains(kinds, k):
			return nil, usagef("--drivers=%s (RECONCILER_DRIVERS): %s stands there twice", list, word)
		default:
			kinds = append(kinds, k)
		}
	}
	return kinds, nil
}
