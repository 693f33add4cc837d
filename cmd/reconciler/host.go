package main

import (
	"context"
	"fmt"
	"strings"

	"github.com/spf13/cobra"

	"reconciler.dev/reconciler/pkg/remote/link"
	"reconciler.dev/reconciler/pkg/spec"
)

func (c *cli) hostCmd() *cobra.Command {
	cmd := &cobra.Command{
		Use: "host", Short: "Declare, list and check the hosts that daemons run on",
		Long: `Hosts are declared by documents of kind Host: among the manifests, or for good in the folder of hosts, which is /etc/reconciler/hosts.d for root,
~/.config/reconciler/hosts.d for others, and hosts.d in the directory that --state-dir gives. A host need not be declared: spec.host and --host also take a
name that ssh knows, or [USER@]ADDRESS[:PORT].`,
		Args: unknownVerb, RunE: func(cmd *cobra.Command, _ []string) error { return cmd.Help() },
	}
	cmd.AddCommand(c.hostAddCmd(), c.hostCheckCmd(), c.hostListCmd())
	return cmd
}

// scanner asks a host for its key, and takes nothing else from it.
type scanner func(ctx context.Context, c *cli, t link.Target) (key, fingerprint string, err error)

// scan asks a host for its key over the network.
func scan(ctx context.Context, c *cli, t link.Target) (key, fingerprint string, err error) {
	found, fingerprint, err := c.controller().dialer.Scan(ctx, t)
	if err != nil {
		return "", "", err
	}
	return link.Line(found), fingerprint, nil
}

func (c *cli) hostListCmd() *cobra.Command {
	cmd := &cobra.Command{
		Use: "list [-f FILE]", Short: "List the hosts that are declared",
		Long: "List the hosts that are declared in the folder of hosts, and with -f those of manifests too. No host is contacted.",
		Args: noArgs,
	}
	var in inputs
	cmd.Flags().StringArrayVarP(&in.Files, "filename", "f", nil, "manifest file, directory, or - for stdin, whose hosts are listed too; may be repeated")
	cmd.Flags().BoolVarP(&in.Recursive, "recursive", "R", false, "descend into the directories given by -f")
	out := enumFlag(cmd, "output", "o", "output format", "", "json", "yaml", "name")
	cmd.RunE = func(*cobra.Command, []string) error {
		docs, err := spec.LoadAll(in.Files, spec.LoadOptions{Recursive: in.Recursive, Stdin: c.in, Hosts: c.hostsDirs()})
		if err != nil {
			return &exit{exitInput, err}
		}
		return c.printHosts(out.value, docs.Hosts)
	}
	return cmd
}

func (c *cli) printHosts(format string, hosts []spec.HostManifest) error {
	switch format {
	case "json", "yaml":
		items := make([]spec.Host, len(hosts))
		for i, h := range hosts {
			items[i] = h.Host
		}
		return c.encode(format, listOf(items))
	case "name":
		for _, h := range hosts {
			c.say("host/%s", clean(h.Metadata.Name))
		}
		return nil
	}
	if len(hosts) == 0 {
		dir, err := c.hostsDir()
		if err != nil {
			return err
		}
		c.note("No hosts are declared in %s; reconciler host add USER@ADDRESS declares one.", dir)
		return nil
	}
	t := &table{out: c.out, header: []string{"NAME", "ADDRESS", "VIA", "AGENT", "LABELS", "DECLARED IN"}}
	for i := range hosts {
		h := &hosts[i]
		t.add(h.Metadata.Name, addressOf(h), h.Spec.ProxyJump, agentOf(h.Spec), pairs(h.Metadata.Labels), h.Source())
	}
	return t.flush()
}

// addressOf is where a host is, as people write it.
func addressOf(h *spec.HostManifest) string {
	text := h.Spec.Address
	if text == "" {
		text = h.Metadata.Name
	}
	if h.Spec.Port != 0 {
		if strings.Contains(text, ":") {
			text = "[" + text + "]"
		}
		text = fmt.Sprintf("%s:%d", text, h.Spec.Port)
	}
	if h.Spec.User != "" {
		text = h.Spec.User + "@" + text
	}
	return text
}

// agentOf says in a word what is peculiar to a host's agent.
func agentOf(s spec.HostSpec) string {
	text := string(s.Agent.Install)
	if s.Sudo {
		text = "sudo, " + text
	}
	return text
}
