package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"maps"
	"net"
	"net/netip"
	"net/url"
	"os/user"
	"slices"
	"strconv"
	"strings"

	"github.com/spf13/cobra"

	"reconciler.dev/reconciler/internal/doctor"
	"reconciler.dev/reconciler/internal/listeners"
	"reconciler.dev/reconciler/pkg/drivers"
	"reconciler.dev/reconciler/pkg/spec"
)

func (c *cli) doctorCmd() *cobra.Command {
	cmd := &cobra.Command{
		Use: "doctor [-f FILE]", Short: "Say what a machine lacks, and what mends it",
		Long: `Say what a machine lacks for running daemons, what is lost by that, and the command that mends it: this one, or those that --host or the
manifests name. Nothing is changed.

It looks at the drivers and which of them would be chosen, cgroups and the limits they can enforce, delegation and lingering, the
directories that reconciler writes to and the disks they are on, the clock, and tools for GPUs. With -f it also looks at what
would stand in the way of the daemons of these manifests: users that don't exist, programs that can't be executed, limits that
are required and can't be enforced, and ports that other programs have.

Exit status: 0 where nothing fails, warnings or not; 1 where something does.`,
		Example: `  reconciler doctor
  reconciler doctor -f manifests/ -o json`,
		Args: noArgs,
	}
	var in inputs
	var h hostFlags
	c.inputFlags(cmd, &in)
	c.hostsFlags(cmd, &h)
	out := enumFlag(cmd, "output", "o", "output format", "", "json", "yaml")
	cmd.RunE = func(cmd *cobra.Command, _ []string) error {
		if err := h.check(); err != nil {
			return err
		}
		return c.doctor(cmd.Context(), in, h, out.value)
	}
	return cmd
}

func (c *cli) doctor(ctx context.Context, in inputs, h hostFlags, format string) error {
	inv, at, wants, mistakes, err := c.patients(ctx, in, h)
	if err != nil {
		return err
	}
	sites, err := c.openSites(ctx, inv, at, h.parallel, c.looking)
	if err != nil {
		return err
	}
	defer closeSites(sites)
	all, errs := make([][]finding, len(sites)), make([]error, len(sites))
	each(h.parallel, sites, func(i int) {
		s := sites[i]
		if s.lost != nil {
			return
		}
		var f doctor.Facts
		if f, errs[i] = c.facts(ctx, s.session, wants[s.at]); errs[i] == nil {
			f.Mistakes = mistakes
			all[i] = findings(s.at, doctor.Examine(f))
		}
	})
	failing := c.printFindings(format, all)
	if err := unreached(sites, errors.Join(errs...)); err != nil {
		return err
	}
	return failing
}

// patients are the machines to look at: those that --host and -A name, else those that the manifests name, this one where there are none; and the daemons that are declared for each.
// What is wrong with the manifests is what it is asked to find, and no error: then it is told of the machines that are named, or of this one.
func (c *cli) patients(ctx context.Context, in inputs, h hostFlags) (inv *inventory, at []string, wants map[string][]*spec.Daemon, mistakes []string, err error) {
	inv, at, err = c.chosen(h)
	if err != nil || len(in.Files) == 0 {
		return inv, at, nil, nil, err
	}
	d, err := c.declared(in, h, true)
	var all [][]*spec.Daemon
	if err == nil {
		all, err = c.resolveAll(ctx, d, nil)
	}
	var wrong spec.Problems
	switch {
	case errors.As(err, &wrong):
		for i := range wrong {
			mistakes = append(mistakes, wrong[i:i+1].Error())
		}
		return inv, at, nil, mistakes, nil
	case err != nil:
		return nil, nil, nil, nil, err
	}
	wants = map[string][]*spec.Daemon{}
	for i, p := range d.places {
		wants[p.Host] = all[i]
	}
	if h.here() {
		at = d.at()
	}
	return d.inv, at, wants, nil, nil
}

// facts gathers all that the checks may know of a machine; another one gathers them itself.
func (c *cli) facts(ctx context.Context, s *session, wants []*spec.Daemon) (f doctor.Facts, err error) {
	if s.call == nil {
		return c.factsHere(ctx, s, wants)
	}
	plain := make([]*spec.Daemon, len(wants)) // secrets stay here
	for i, w := range wants {
		plain[i] = &spec.Daemon{Metadata: w.Metadata, Spec: public(w.Spec), Digest: w.Digest, Source: w.Source}
	}
	err = s.call(ctx, callDoctor, plain, &f)
	return f, err
}

// factsHere gathers them of this machine.
func (c *cli) factsHere(ctx context.Context, s *session, wants []*spec.Daemon) (doctor.Facts, error) {
	dirs, err := c.dirs()
	if err != nil {
		return doctor.Facts{}, err
	}
	f := c.gather(dirs)
	s.driverFacts(ctx, &f)
	for _, w := range wants {
		f.Daemons = append(f.Daemons, s.daemonFacts(ctx, w))
	}
	return f, nil
}

// driverFacts fills in what the host says of its drivers, the best first, and what the one that it would choose says of limits.
func (s *session) driverFacts(ctx context.Context, f *doctor.Facts) {
	best, _ := s.host.Driver(spec.DriverAuto)
	lacks := map[spec.DriverKind]*drivers.Unavailable{}
	for _, u := range s.host.Unavailable() {
		lacks[u.Kind] = u
	}
	usable := map[spec.DriverKind]bool{}
	for _, d := range s.host.Drivers() {
		usable[d.Kind()] = lacks[d.Kind()] == nil
	}
	for _, c := range candidates() {
		d := doctor.Driver{Kind: string(c.kind), Usable: usable[c.kind], Chosen: best != nil && best.Kind() == c.kind}
		if u := lacks[c.kind]; u != nil {
			d.Reason, d.Mend = u.Reason, u.Remedy
		}
		if d.Usable || d.Reason != "" {
			f.Drivers = append(f.Drivers, d)
		}
	}
	for _, d := range s.host.Drivers() {
		if v, ok := drivers.Find[interface {
			Version(ctx context.Context) (int, error)
		}](d); ok {
			if n, err := v.Version(ctx); err == nil {
				f.SystemdVersion = strconv.Itoa(n)
			}
		}
	}
	if checker, ok := drivers.Find[drivers.Checker](best); ok {
		f.Limits = limitFacts(ctx, checker)
	}
}

// limitFacts asks a driver about a daemon with all limits.
func limitFacts(ctx context.Context, c drivers.Checker) (l doctor.Limits) {
	all := &spec.Cgroup{CPULimit: 1000, MemoryLimit: 1 << 30, MemoryHigh: 1 << 29, PidsLimit: 1000, CPUWeight: 100, IOWeight: 100}
	asked := &spec.Daemon{Metadata: spec.Metadata{Name: "reconciler-doctor"}, Spec: spec.Spec{Binary: "/proc/self/exe", Cgroup: all}, Digest: "sha256:0"}
	spec.Defaults(&asked.Spec)
	lost, err := c.Check(ctx, asked)
	if err != nil {
		return doctor.Limits{Lost: []doctor.Loss{{Field: "all", Reason: err.Error()}}}
	}
	for _, field := range slices.Sorted(maps.Keys(cgroupLimits(all))) {
		i := slices.IndexFunc(lost, func(x spec.Loss) bool { return x.Field == "spec.cgroup."+field })
		if i < 0 {
			l.Enforced = append(l.Enforced, field)
		} else {
			l.Lost = append(l.Lost, doctor.Loss{Field: field, Reason: lost[i].Reason})
		}
	}
	return l
}

// daemonFacts looks at what stands in the way of a daemon.
func (s *session) daemonFacts(ctx context.Context, w *spec.Daemon) doctor.Daemon {
	d := doctor.Daemon{Name: w.Name, Source: w.Source, User: w.Spec.User, UserErr: missingUser(w.Spec)}
	drv, err := s.host.Driver(w.Spec.Driver)
	if err != nil {
		d.Refused = err.Error()
	}
	if checker, ok := drivers.Find[drivers.Checker](drv); ok {
		lost, err := checker.Check(ctx, w)
		if err != nil {
			d.Refused = err.Error()
		}
		for _, l := range lost {
			d.Lost = append(d.Lost, doctor.Loss{Field: l.Field, Reason: l.Reason})
		}
	}
	for _, a := range localPorts(w.Spec) {
		d.Ports = append(d.Ports, doctor.Port{Field: a.field, Address: a.addr.String(), HeldBy: s.heldBy(ctx, w.Name, a.addr)})
	}
	return d
}

// missingUser says that there is no such user or group; empty where there is, or none is named.
func missingUser(s spec.Spec) string {
	if _, err := strconv.ParseUint(s.User, 10, 32); s.User != "" && err != nil {
		if _, err := user.Lookup(s.User); err != nil {
			return "there is no user " + s.User
		}
	}
	if _, err := strconv.ParseUint(s.Group, 10, 32); s.Group != "" && err != nil {
		if _, err := user.LookupGroup(s.Group); err != nil {
			return "there is no group " + s.Group
		}
	}
	return ""
}

// place is an address of this machine that a manifest names.
type place struct {
	field string
	addr  netip.AddrPort
}

// localPorts are the addresses of this machine on which a daemon is to answer, each once.
func localPorts(s spec.Spec) (all []place) {
	add := func(field, hostport string) {
		host, port, err := net.SplitHostPort(hostport)
		n, perr := strconv.ParseUint(port, 10, 16)
		if host == "localhost" {
			host = "127.0.0.1"
		}
		addr, aerr := netip.ParseAddr(host)
		if errors.Join(err, perr, aerr) != nil || !addr.IsLoopback() && !addr.IsUnspecified() {
			return
		}
		at := place{field, netip.AddrPortFrom(addr, uint16(n))}
		if !slices.ContainsFunc(all, func(p place) bool { return p.addr == at.addr }) {
			all = append(all, at)
		}
	}
	addURL := func(field, text string) {
		u, err := url.Parse(text)
		if err != nil || text == "" {
			return
		}
		port := u.Port()
		if port == "" {
			port = map[string]string{"http": "80", "https": "443"}[u.Scheme]
		}
		add(field, net.JoinHostPort(u.Hostname(), port))
	}
	if s.Health != nil {
		add("spec.health.tcp", s.Health.TCP)
		addURL("spec.health.url", s.Health.URL)
	}
	addURL("spec.stop.url", s.Stop.URL)
	if s.Reload != nil {
		addURL("spec.reload.url", s.Reload.URL)
	}
	return all
}

// heldBy names the program that has an address and isn't the daemon; empty where nobody has it, the daemon itself does, or it can't be told.
func (s *session) heldBy(ctx context.Context, daemon string, addr netip.AddrPort) string {
	a, err := listeners.Ask(addr, 0, func() ([]int, error) {
		var pids []int
		for _, d := range s.host.Drivers() {
			if tree, ok := drivers.Find[drivers.Tree](d); ok {
				more, err := tree.PIDs(ctx, daemon)
				if err != nil {
					return nil, err
				}
				pids = append(pids, more...)
			}
		}
		return pids, nil
	})
	switch {
	case err != nil:
		return ""
	case a.Who == listeners.Stranger:
		return fmt.Sprintf("%s (pid %d)", a.Command, a.PID)
	}
	return ""
}

// finding is one about a host.
type finding struct {
	// Host is omitted for this machine.
	Host string `json:"host,omitempty"`
	doctor.Finding
}

func findings(at string, found []doctor.Finding) []finding {
	all := make([]finding, len(found))
	for i, f := range found {
		all[i] = finding{at, f}
	}
	return all
}

// printFindings writes the findings, those of one host after those of the other, and ends with an error where one fails.
func (c *cli) printFindings(format string, all [][]finding) error {
	if format != "" {
		if err := c.encode(format, listOf(slices.Concat(all...))); err != nil {
			return err
		}
	} else {
		var b bytes.Buffer
		for _, found := range all {
			writeFindings(&b, found)
		}
		if _, err := c.out.Write(b.Bytes()); err != nil {
			return err
		}
	}
	if slices.ContainsFunc(slices.Concat(all...), func(f finding) bool { return f.Status == doctor.Fail }) {
		return &exit{code: exitError}
	}
	return nil
}

func writeFindings(b *bytes.Buffer, found []finding) {
	if len(found) == 0 {
		return
	}
	width, count, host := 0, map[doctor.Status]int{}, hostPrefix(found[0].Host)
	for _, f := range found {
		width = max(width, len(f.Check))
		count[f.Status]++
	}
	for _, f := range found {
		fmt.Fprintf(b, "%s%-4s  %-*s  %s\n", host, f.Status, width, clean(f.Check), clean(f.Found))
		for _, more := range []struct{ what, text string }{{"lost", f.Lost}, {"mend", f.Mend}} {
			if more.text != "" {
				fmt.Fprintf(b, "%s%s%s: %s\n", host, strings.Repeat(" ", width+8), more.what, clean(more.text))
			}
		}
	}
	fmt.Fprintf(b, "%s%s, %s\n", host, plural(count[doctor.Warn], "warning"), plural(count[doctor.Fail], "failure"))
}
