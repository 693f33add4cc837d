package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"slices"
	"strconv"
	"strings"

	"github.com/spf13/cobra"

	"reconciler.dev/reconciler/pkg/drivers"
	"reconciler.dev/reconciler/pkg/reconcile"
	"reconciler.dev/reconciler/pkg/spec"
)

type getFlags struct {
	out *format
	aims
	noHeaders bool
	watch     bool
	unmanaged bool
}

func (c *cli) getCmd() *cobra.Command {
	cmd := &cobra.Command{
		Use: "get [NAME... | -f FILE]", Short: "List daemons and how they are",
		Long: `List daemons, all of them or those named: on this machine, on the hosts that --host names, or with -A on all. What is listed is found on the machines each time: units, cgroups and
records that carry our stamp, and their processes; no list of them is kept anywhere.

AGE is how long the daemon's process has been up. With -o wide: PIDS are all of its processes, the main one first; PORTS are where their own sockets listen; SINCE is when the phase that it is in
began; BINARY shows a program that is kept by its content as name@digest; NOTE says why a daemon doesn't run under a better driver, which limits aren't enforced, and that an update has two copies
run side by side: PIDS and PORTS are then those of both. What isn't known is ?, and
status.missing says why. -o json and -o yaml print a List whose items are the DaemonSpec that was applied plus a status; -o go-template=TEMPLATE works on the same data.`,
		Example: `  reconciler get
  reconciler get web -o yaml
  reconciler get -l app=shop -o wide -w
  reconciler get -A -o wide
  reconciler get --unmanaged -A
  reconciler get -o go-template='{{range .items}}{{.metadata.name}} {{.status.phase}}{{"\n"}}{{end}}'`,
		ValidArgsFunction: c.completeNames,
	}
	var f getFlags
	f.out = formatFlag(cmd)
	c.inputFlags(cmd, &f.inputs)
	c.hostsFlags(cmd, &f.hostFlags)
	cmd.Flags().BoolVar(&f.noHeaders, "no-headers", false, "leave out the line of column names")
	cmd.Flags().BoolVarP(&f.watch, "watch", "w", false, "after listing, go on and print each change")
	cmd.Flags().BoolVar(&f.unmanaged, "unmanaged", false, "list what runs in our slices and isn't ours instead: units and cgroups without our stamp")
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		check := f.checkAny
		if f.unmanaged {
			check = f.checkUnmanaged
		}
		if err := check(args); err != nil {
			return err
		}
		inv, at, names, err := c.aim(f.aims, args)
		if err != nil {
			return err
		}
		sites, err := c.openSites(cmd.Context(), inv, at, f.parallel, c.looking)
		if err != nil {
			return err
		}
		defer closeSites(sites)
		if f.unmanaged {
			return c.unmanaged(cmd.Context(), sites, f)
		}
		return c.get(cmd.Context(), sites, f, names)
	}
	return cmd
}

// get lists the daemons of sites, those of each that are named for it; none: all.
func (c *cli) get(ctx context.Context, sites []*site, f getFlags, names [][]string) error {
	all, errs := make([]seen, len(sites)), make([]error, len(sites))
	each(f.parallel, sites, func(i int) { all[i], errs[i] = see(ctx, sites[i], f, names[i]) })
	shown, missing := 0, error(nil)
	for i, err := range errs {
		if err != nil && !errors.Is(err, drivers.ErrNotFound) {
			return err
		}
		missing = errors.Join(missing, err)
		shown += len(all[i].views)
	}
	missing = unreached(sites, missing)
	show := c.shower(sites, f)
	if shown > 0 || f.out.value == "json" || f.out.value == "yaml" {
		if err := show(all...); err != nil {
			return err
		}
	} else if missing == nil && !f.watch {
		c.note("There are no daemons on %s%s.", siteNames(sites), matching(f.Selector))
	}
	there := slices.DeleteFunc(all, func(s seen) bool { return s.lost != nil })
	if !f.watch || len(there) == 0 || len(there) == len(sites) && missing != nil {
		return missing
	}
	if missing != nil {
		c.note("%v", missing)
	}
	return c.watch(ctx, f, there, show)
}

// seen is how the daemons of one host are. Of each view there is a detail where the output shows any.
type seen struct {
	*site
	named   []string // the daemons that were asked for; none: all
	views   []reconcile.View
	details []detail
}

// detailed says whether the output shows what has to be asked for beside the looks.
func (f getFlags) detailed() bool { return f.out.value != "" && f.out.value != "name" }

// withDetails asks for it.
func (s seen) withDetails(ctx context.Context, f getFlags) seen {
	switch {
	case s.lost != nil:
		s.details = make([]detail, len(s.views))
		for i, v := range s.views {
			s.details[i] = detailOf(v.Observed, spec.Sample{}, s.lost)
		}
	case f.detailed():
		s.details = s.session.details(ctx, s.views)
	default:
		s.details = make([]detail, len(s.views))
	}
	return s
}

// see looks at the daemons of one host. Of one that can't be reached those that are named are Unknown.
func see(ctx context.Context, s *site, f getFlags, names []string) (all seen, err error) {
	all.site, all.named = s, names
	switch {
	case s.lost != nil:
		for _, n := range names {
			all.views = append(all.views, reconcile.View{Observed: spec.Observed{Name: n, State: spec.Unknown, Message: s.lost.Error()}})
		}
	case len(names) > 0:
		all.views, err = s.look(ctx, names...)
	default:
		all.views, err = s.selected(ctx, f.Selector)
	}
	return all.withDetails(ctx, f), err
}

func matching(selector string) string {
	if selector == "" {
		return ""
	}
	return " that match -l " + selector
}

// shower prints views in the format asked for, time after time.
func (c *cli) shower(sites []*site, f getFlags) func(...seen) error {
	switch f.out.value {
	case "", "wide":
		t := newGetTable(c.out, f, beyond(sites))
		return func(all ...seen) error {
			for _, s := range all {
				for i, v := range s.views {
					t.add(s.name(), v, s.details[i])
				}
			}
			return t.flush()
		}
	case "name":
		return func(all ...seen) error {
			var b bytes.Buffer
			for _, s := range all {
				for _, v := range s.views {
					fmt.Fprintf(&b, "%sdaemon/%s\n", hostPrefix(s.at), clean(v.Observed.Name))
				}
			}
			_, err := c.out.Write(b.Bytes())
			return err
		}
	}
	return func(all ...seen) error {
		var objs []object
		for _, s := range all {
			for i, v := range s.views {
				obj := makeObject(s.name(), v)
				obj.Status.tell(s.details[i])
				objs = append(objs, obj)
			}
		}
		return f.out.print(c, objs)
	}
}

// getTable has a column for the host first where there is more to show than this machine.
type getTable struct {
	table
	wide, hosts bool
}

func newGetTable(out io.Writer, f getFlags, hosts bool) *getTable {
	t := &getTable{table: table{out: out}, wide: f.out.value == "wide", hosts: hosts}
	if f.noHeaders {
		return t
	}
	if hosts {
		t.header = []string{"HOST"}
	}
	t.header = append(t.header, "NAME", "READY", "STATUS", "RESTARTS", "AGE")
	if t.wide {
		more := wideHeader()
		if !hosts {
			more = slices.Insert(more, hostColumn, "HOST")
		}
		t.header = append(t.header, more...)
	}
	return t
}

func (t *getTable) add(host string, v reconcile.View, d detail) {
	var row []string
	if t.hosts {
		row = []string{host}
	}
	row = append(row, getRow(v)...)
	if t.wide {
		more := wideRow(v, d)
		if !t.hosts {
			more = slices.Insert(more, hostColumn, host)
		}
		row = append(row, more...)
	}
	t.table.add(row...)
}

func getRow(v reconcile.View) []string {
	o := v.Observed
	restarts, up := "0", ""
	if in := o.Instance; in != nil {
		restarts = strconv.Itoa(in.Restarts)
		if in.Exit == nil {
			up = age(in.Up)
		}
	}
	return []string{o.Name, readiness(v), phase(o), restarts, up}
}

// remark says in a cell that there are two copies of a daemon, what somebody changed of it, why it doesn't run under a better driver, and what of its spec isn't enforced.
func remark(v reconcile.View) string {
	var says []string
	if two := twoCopies(v.Observed); two != "" {
		says = append(says, two)
	}
	for _, d := range v.Observed.Drift {
		says = append(says, "drift: "+d.Field)
	}
	for _, u := range v.Fallback {
		says = append(says, "not "+string(u.Kind)+": "+u.Reason)
	}
	for _, l := range v.Observed.Lost {
		says = append(says, "no "+strings.TrimPrefix(l.Field, "spec.")+": "+l.Reason)
	}
	return strings.Join(says, "; ")
}
