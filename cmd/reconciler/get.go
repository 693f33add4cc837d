package main

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"strconv"
	"strings"

	"github.com/spf13/cobra"

	"reconciler.dev/reconciler/pkg/reconcile"
	"reconciler.dev/reconciler/pkg/spec"
)

type getFlags struct {
	out       *format
	selector  string
	noHeaders bool
	watch     bool
}

func (c *cli) getCmd() *cobra.Command {
	cmd := &cobra.Command{
		Use: "get [NAME...]", Short: "List daemons and how they are",
		Long: `List the daemons on this machine, all of them or those named.

AGE is how long the daemon's process has been up. NOTE (-o wide) says why a daemon doesn't run under a better driver, and which limits aren't enforced. -o json and -o yaml print a List whose items are the DaemonSpec that was
applied plus a status; -o go-template=TEMPLATE works on the same data.`,
		Example: `  reconciler get
  reconciler get web -o yaml
  reconciler get -l app=shop -o wide -w
  reconciler get -o go-template='{{range .items}}{{.metadata.name}} {{.status.phase}}{{"\n"}}{{end}}'`,
		ValidArgsFunction: c.completeNames,
	}
	var f getFlags
	f.out = formatFlag(cmd)
	c.selectorFlag(cmd, &f.selector)
	cmd.Flags().BoolVar(&f.noHeaders, "no-headers", false, "leave out the line of column names")
	cmd.Flags().BoolVarP(&f.watch, "watch", "w", false, "after listing, go on and print each change")
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		if len(args) > 0 && f.selector != "" {
			return usagef("give NAME or -l, one of them")
		}
		s, err := c.open("", false, nil)
		if err != nil {
			return err
		}
		defer s.close()
		return c.get(cmd.Context(), s, f, daemonNames(args))
	}
	return cmd
}

func (c *cli) get(ctx context.Context, s *session, f getFlags, names []string) error {
	var views []reconcile.View
	var err, missing error
	if len(names) > 0 {
		views, missing = s.look(ctx, names...)
	} else {
		views, err = s.selected(ctx, f.selector)
	}
	if err != nil {
		return err
	}
	show := c.shower(s, f)
	if len(views) > 0 || f.out.value == "json" || f.out.value == "yaml" {
		if err := show(views); err != nil {
			return err
		}
	} else if missing == nil && !f.watch {
		c.note("There are no daemons on %s%s.", s.host.Name(), matching(f.selector))
	}
	if missing != nil || !f.watch {
		return missing
	}
	return c.watch(ctx, s, f, names, views, show)
}

func matching(selector string) string {
	if selector == "" {
		return ""
	}
	return " that match -l " + selector
}

// shower prints views in the format asked for, time after time.
func (c *cli) shower(s *session, f getFlags) func([]reconcile.View) error {
	switch f.out.value {
	case "", "wide":
		t := newGetTable(c.out, f)
		return func(views []reconcile.View) error {
			for _, v := range views {
				t.add(getRow(s.host.Name(), v, f.out.value == "wide")...)
			}
			return t.flush()
		}
	case "name":
		return func(views []reconcile.View) error {
			var b bytes.Buffer
			for _, v := range views {
				fmt.Fprintf(&b, "daemon/%s\n", clean(v.Observed.Name))
			}
			_, err := c.out.Write(b.Bytes())
			return err
		}
	}
	return func(views []reconcile.View) error {
		objs := make([]object, len(views))
		for i, v := range views {
			objs[i] = makeObject(s.host.Name(), v)
		}
		return f.out.print(c, objs)
	}
}

func newGetTable(out io.Writer, f getFlags) *table {
	t := &table{out: out}
	if f.noHeaders {
		return t
	}
	t.header = []string{"NAME", "READY", "STATUS", "RESTARTS", "AGE"}
	if f.out.value == "wide" {
		t.header = append(t.header, "PID", "DRIVER", "SET", "GENERATION", "HOST", "BINARY", "NOTE")
	}
	return t
}

func getRow(host string, v reconcile.View, wide bool) []string {
	o := v.Observed
	ready, restarts, up, pid := "Unknown", "0", "", ""
	for _, c := range v.Conditions {
		if c.Type == spec.Ready {
			ready = string(c.Status)
		}
	}
	if in := o.Instance; in != nil {
		restarts = strconv.Itoa(in.Restarts)
		if in.Exit == nil {
			up, pid = age(in.Up), strconv.Itoa(in.PID)
		}
	}
	row := []string{o.Name, ready, phase(o), restarts, up}
	if !wide {
		return row
	}
	var set, generation, binary string
	if s := o.Stamp; s != nil {
		set, generation, binary = s.Owner.Set, strconv.FormatInt(s.Generation, 10), s.Spec.Binary
	}
	return append(row, pid, string(o.Driver), set, generation, host, binary, remark(v))
}

// remark says in a cell what somebody changed of a daemon, why it doesn't run under a better driver, and what of its spec isn't enforced.
func remark(v reconcile.View) string {
	var says []string
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
