package main

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"net/netip"
	"os"
	"path/filepath"
	"reflect"
	"strings"

	"github.com/spf13/cobra"
	"sigs.k8s.io/yaml"

	"reconciler.dev/reconciler/internal/atomicfile"
	"reconciler.dev/reconciler/internal/sshconfig"
	"reconciler.dev/reconciler/pkg/spec"
)

type addFlags struct {
	name        string
	labels      map[string]string
	yes, force  bool
	sudo        bool
	fingerprint string
	identity    string
	jump        string
}

func (c *cli) hostAddCmd() *cobra.Command {
	cmd := &cobra.Command{
		Use: "add [USER@]ADDRESS[:PORT]", Short: "Declare a host, once its key is known to be its own", Args: cobra.ExactArgs(1),
		Long: `Ask a host for its key, show the key's fingerprint, and once you have said that it is the host's, declare the host in the folder of hosts. From then
on no other key is accepted. Compare the fingerprint with what the host itself says: ssh-keygen -lf /etc/ssh/ssh_host_ed25519_key.pub

Nobody logs in; reconciler host check does. The address may be a name of ~/.ssh/config, whose words for it go on to count.`,
		Example: `  reconciler host add root@10.0.0.5 --name gpu-1 --label gpu=yes
  reconciler host add ops@db.example.org --sudo --fingerprint SHA256:47DEQpj8HBSa+/TImW+5JCeuQeRkm5NMpJWZG3hSuFU`,
	}
	var a addFlags
	f := cmd.Flags()
	f.StringVar(&a.name, "name", "", "the host's name (default: the address's, up to its first dot)")
	f.StringToStringVar(&a.labels, "label", nil, "a label that hostSelector may match, KEY=VALUE; may be repeated")
	f.BoolVar(&a.yes, "yes", false, "take the key that the host shows, without asking")
	f.StringVar(&a.fingerprint, "fingerprint", "", "take the key with this fingerprint, SHA256:..., and no other, without asking")
	f.StringVarP(&a.identity, "identity-file", "i", "", "the key to log in with")
	f.StringVarP(&a.jump, "proxy-jump", "J", "", "the hosts to go through, with commas between them")
	f.BoolVar(&a.sudo, "sudo", false, "run daemons as root's, by sudo")
	f.BoolVar(&a.force, "force", false, "write over a host that is declared otherwise")
	cmd.RunE = func(cmd *cobra.Command, args []string) error { return c.addHost(cmd.Context(), args[0], &a) }
	return cmd
}

func (c *cli) addHost(ctx context.Context, where string, a *addFlags) error {
	h, err := a.host(where)
	if err != nil {
		return err
	}
	dir, err := c.hostsDir()
	if err != nil {
		return err
	}
	inv, err := c.declaredHosts()
	if err != nil {
		return err
	}
	if h.Spec.HostKey, err = c.trustedKey(ctx, inv, h, a); err != nil {
		return err
	}
	if _, err := checkHost(h); err != nil {
		return err
	}
	file, action := filepath.Join(dir, h.Metadata.Name+".yaml"), "created"
	if old := inv.find(h.Metadata.Name); old != nil {
		file, action = old.File, "configured"
		switch {
		case sameDeclaration(old.Host, h):
			action = "unchanged"
		case !a.force:
			return fmt.Errorf("declare host %s: it is declared otherwise in %s; edit that, give another --name, or write over it with --force", h.Metadata.Name, old.Source())
		}
	}
	if action != "unchanged" {
		if err := writeHost(file, h); err != nil {
			return err
		}
	}
	c.say("host/%s %s", clean(h.Metadata.Name), action)
	c.note("%s; reconciler host check %s says whether it can be worked on", file, h.Metadata.Name)
	return nil
}

// host is the document for what the command line says.
func (a *addFlags) host(where string) (spec.Host, error) {
	hop, err := sshconfig.ParseHop(where)
	if ip, iperr := netip.ParseAddr(where); iperr == nil {
		hop, err = sshconfig.Hop{Host: ip.String()}, nil
	}
	switch {
	case err != nil:
		return spec.Host{}, usagef("host add %s: %w", where, err)
	case a.name == "" && strings.Contains(hop.Host, ":"):
		return spec.Host{}, usagef("host add %s: an IPv6 address can't be the name of a host: give --name", where)
	}
	if a.name == "" {
		a.name = nameFor(hop.Host)
	}
	h := spec.Host{
		APIVersion: spec.APIVersion, Kind: spec.HostKind, Metadata: spec.Metadata{Name: a.name, Labels: a.labels},
		Spec: spec.HostSpec{User: hop.User, Port: hop.Port, ProxyJump: a.jump, Sudo: a.sudo},
	}
	if hop.Host != a.name {
		h.Spec.Address = hop.Host
	}
	if a.identity != "" && !strings.HasPrefix(a.identity, "~") {
		if a.identity, err = filepath.Abs(a.identity); err != nil {
			return h, fmt.Errorf("find the key %s: %w", a.identity, err)
		}
	}
	h.Spec.IdentityFile = a.identity
	if len(a.labels) == 0 {
		h.Metadata.Labels = nil
	}
	_, err = checkHost(h)
	return h, err
}

// nameFor is what a host is called whose address is all that is known: the first part of a name, and a whole IPv4 address.
func nameFor(address string) string {
	first, _, _ := strings.Cut(address, ".")
	if strings.Trim(first, "0123456789") == "" {
		first = address
	}
	return strings.ToLower(first)
}

// checkHost is a document as the loader finds it.
func checkHost(h spec.Host) (spec.Host, error) {
	b, err := yaml.Marshal(h)
	if err != nil {
		return h, fmt.Errorf("declare host %s: %w", h.Metadata.Name, err)
	}
	docs, err := spec.ParseAll("the command line", b)
	if err != nil {
		return h, &exit{exitInput, err}
	}
	return docs.Hosts[0].Host, nil
}

// sameDeclaration compares what the loader makes of two documents.
func sameDeclaration(a, b spec.Host) bool {
	b, err := checkHost(b)
	return err == nil && reflect.DeepEqual(a, b)
}

// trustedKey asks the host for its key, and whether that is to be trusted.
func (c *cli) trustedKey(ctx context.Context, inv *inventory, h spec.Host, a *addFlags) (string, error) {
	ways, err := c.newInventory(append(inv.without(h.Metadata.Name), spec.HostManifest{Host: h})).ways()
	if err != nil {
		return "", err
	}
	way, err := ways.Resolve(h.Metadata.Name)
	if err != nil {
		return "", err
	}
	c.noteWay(h.Metadata.Name, way.Notes, false)
	key, fingerprint, err := c.scan(ctx, c, way.Target)
	if err != nil {
		return "", err
	}
	fmt.Fprintf(c.err, "The key of %s is %s\n", clean(h.Metadata.Name), clean(fingerprint))
	who := c.person()
	switch {
	case a.fingerprint != "":
		if !strings.HasSuffix(fingerprint, " "+strings.TrimSpace(a.fingerprint)) {
			return "", &exit{exitRefused, fmt.Errorf("trust host %s: its key is %s, and not the one with --fingerprint=%s; nothing was declared", h.Metadata.Name, fingerprint, a.fingerprint)}
		}
		return key, nil
	case a.yes:
		return key, nil
	case who == nil:
		return "", &exit{exitRefused, fmt.Errorf("trust host %s: nobody can be asked here whether that is its key; give --fingerprint, or --yes to take it as it is", h.Metadata.Name)}
	}
	yes, err := who.confirm(ctx, "Is that the host's?")
	if err == nil && !yes {
		err = &exit{exitRefused, fmt.Errorf("trust host %s: its key was turned down; nothing was declared", h.Metadata.Name)}
	}
	return key, err
}

// writeHost writes the document of a host.
func writeHost(file string, h spec.Host) error {
	b, err := yaml.Marshal(h)
	if err != nil {
		return fmt.Errorf("declare host %s: %w", h.Metadata.Name, err)
	}
	if err := os.MkdirAll(filepath.Dir(file), 0o755); err != nil && !errors.Is(err, fs.ErrExist) {
		return fmt.Errorf("declare host %s: %w", h.Metadata.Name, err)
	}
	if err := atomicfile.Write(file, b, 0o644, atomicfile.Durable); err != nil {
		return fmt.Errorf("declare host %s: %w", h.Metadata.Name, err)
	}
	return nil
}
