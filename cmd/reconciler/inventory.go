package main

import (
	"errors"
	"os"
	"path/filepath"
	"slices"
	"sync"

	"github.com/spf13/cobra"

	"reconciler.dev/reconciler/pkg/remote/targets"
	"reconciler.dev/reconciler/pkg/spec"
)

// hostFlags say on which hosts a verb works.
type hostFlags struct {
	hosts    []string
	all      bool
	parallel int
}

const hostUsage = "a Host's name, a name that ssh knows, or [USER@]ADDRESS[:PORT]; may be repeated, or several with commas"

// hostFlags adds --host to a verb that works on one host after the other's name.
func (c *cli) hostFlag(cmd *cobra.Command, h *hostFlags) {
	cmd.Flags().StringSliceVar(&h.hosts, "host", nil, "work on these hosts: "+hostUsage)
	_ = cmd.RegisterFlagCompletionFunc("host", c.completeHosts)
}

// hostsFlags adds what verbs for several hosts have: --host, -A and --max-parallel-hosts.
func (c *cli) hostsFlags(cmd *cobra.Command, h *hostFlags) {
	c.hostFlag(cmd, h)
	cmd.Flags().BoolVarP(&h.all, "all-hosts", "A", false, "work on this machine and on all hosts that are declared (see reconciler host)")
	c.parallelFlag(cmd, h)
}

// limitFlags adds what verbs have whose manifests say the hosts.
func (c *cli) limitFlags(cmd *cobra.Command, h *hostFlags) {
	cmd.Flags().StringSliceVar(&h.hosts, "host", nil, "of the hosts that the manifests say, only these; localhost is this machine")
	_ = cmd.RegisterFlagCompletionFunc("host", c.completeHosts)
	c.parallelFlag(cmd, h)
}

// defaultParallel is how many hosts are contacted and worked on at once: what an sshd of OpenSSH takes of new connections before it turns some down (MaxStartups).
const defaultParallel = 10

func (c *cli) parallelFlag(cmd *cobra.Command, h *hostFlags) {
	cmd.Flags().IntVar(&h.parallel, "max-parallel-hosts", defaultParallel, "how many hosts to contact and to work on at once")
}

func (h hostFlags) check() error {
	switch {
	case h.all && len(h.hosts) > 0:
		return usagef("--host and --all-hosts don't go together: give one of them")
	case h.parallel < 0:
		return usagef("--max-parallel-hosts %d: write a number from 1 on", h.parallel)
	case slices.Contains(h.hosts, ""):
		return usagef("--host wants a name: %s", hostUsage)
	}
	return nil
}

// here says that no host was named: the verb is about this machine.
func (h hostFlags) here() bool { return !h.all && len(h.hosts) == 0 }

// among are the hosts that are named, each once, as an inventory knows them; empty stands for this machine.
func (h hostFlags) among(inv *inventory) []string {
	if !h.all {
		return inv.distinct(h.hosts...)
	}
	return inv.distinct(append([]string{""}, inv.names()...)...)
}

// inventory is the hosts that are declared, and knows the ways to them and to all others.
type inventory struct {
	hosts []spec.HostManifest
	ways  func() (*targets.Resolver, error) // called when it is first needed
}

func (c *cli) newInventory(hosts []spec.HostManifest) *inventory {
	return &inventory{hosts, sync.OnceValues(func() (*targets.Resolver, error) {
		declared := make([]targets.Host, len(hosts))
		for i := range hosts {
			var err error
			if declared[i], err = declaredTarget(&hosts[i]); err != nil {
				return nil, err
			}
		}
		return c.ways(declared)
	})}
}

// declaredTarget is what a Host document says of the way to its host.
func declaredTarget(m *spec.HostManifest) (targets.Host, error) {
	dir, err := m.Dir()
	s := m.Spec
	return targets.Host{
		Name: m.Metadata.Name, Address: s.Address, Port: s.Port, User: s.User, IdentityFile: s.IdentityFile, ProxyJump: s.ProxyJump, HostKey: s.HostKey,
		KnownHosts: s.KnownHosts, Sudo: s.Sudo, Dir: dir,
	}, err
}

// isLocal says whether a name is this machine's. Where that can't be found out it isn't: whoever connects then is told why.
func (i *inventory) isLocal(name string) bool {
	r, err := i.ways()
	return err == nil && r.IsLocal(name)
}

// find returns the document of a host; nil where there is none.
func (i *inventory) find(name string) *spec.HostManifest {
	for n := range i.hosts {
		if i.hosts[n].Metadata.Name == name {
			return &i.hosts[n]
		}
	}
	return nil
}

// without are the declared hosts but that one.
func (i *inventory) without(name string) []spec.HostManifest {
	return slices.DeleteFunc(slices.Clone(i.hosts), func(h spec.HostManifest) bool { return h.Metadata.Name == name })
}

func (i *inventory) names() []string {
	names := make([]string, len(i.hosts))
	for n, h := range i.hosts {
		names[n] = h.Metadata.Name
	}
	return names
}

// distinct returns names, each once; empty for this machine.
func (i *inventory) distinct(names ...string) []string {
	var all []string
	for _, name := range names {
		if name != "" && i.isLocal(name) {
			name = ""
		}
		if !slices.Contains(all, name) {
			all = append(all, name)
		}
	}
	return all
}

// hostsDir is the folder with the hosts that reconciler host add declared.
func (c *cli) hostsDir() (string, error) {
	switch {
	case c.stateDir != "":
		return filepath.Join(c.stateDir, "hosts.d"), nil
	case os.Geteuid() == 0:
		return "/etc/reconciler/hosts.d", nil
	}
	config := c.getenv("XDG_CONFIG_HOME")
	if !filepath.IsAbs(config) {
		home := c.getenv("HOME")
		if !filepath.IsAbs(home) {
			return "", errors.New("find the folder of hosts: neither XDG_CONFIG_HOME nor HOME is an absolute path; set one, or give --state-dir")
		}
		config = filepath.Join(home, ".config")
	}
	return filepath.Join(config, "reconciler", "hosts.d"), nil
}

// hostsDirs is hostsDir as spec.LoadOptions has it. Who has no such folder has no hosts in it.
func (c *cli) hostsDirs() []string {
	dir, err := c.hostsDir()
	if err != nil {
		return nil
	}
	return []string{dir}
}

// declaredHosts reads the inventory where there are no manifests.
func (c *cli) declaredHosts() (*inventory, error) {
	docs, err := spec.LoadAll(nil, spec.LoadOptions{Hosts: c.hostsDirs()})
	if err != nil {
		return nil, &exit{exitInput, err}
	}
	return c.newInventory(docs.Hosts), nil
}
