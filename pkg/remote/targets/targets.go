// Package targets says how the hosts that people name are reached: a Host document, user@address or a name in ssh_config(5) comes to a link.Target, with the hosts on the
// way and every default filled in. It also says which names mean this machine, which is reached without SSH.
//
// It must never connect, ask a name server, or read a key. A Host document's fields win over ssh's configuration for the same host, always.
package targets

import (
	"fmt"
	"net/netip"
	"slices"
	"sync"
	"time"

	"reconciler.dev/reconciler/internal/sshconfig"
	"reconciler.dev/reconciler/pkg/drivers"
	"reconciler.dev/reconciler/pkg/remote/link"
)

// What holds for hosts of which nothing else is said.
const (
	// ConnectTimeout bounds the way to a host. Of ssh's there is none, and a fleet can't wait for what is off.
	ConnectTimeout = 10 * time.Second
	// AliveInterval and AliveCount find a dead link in 15 seconds. ssh asks for no sign of life by itself.
	AliveInterval = 5 * time.Second
	AliveCount    = 3
)

// Host is what a Host document says of the way to its host. A field that is empty, 0 or false says nothing.
type Host struct {
	Name string
	// Address is a DNS name, an address or a name that ssh's configuration knows; Name where empty.
	Address string
	Port    int
	User    string
	// IdentityFile is the one key that is offered, by the agent or from the file.
	IdentityFile string
	// ProxyJump is as in ssh_config(5). A hop may be a declared host.
	ProxyJump string
	// HostKey is the host's only key, in the format of authorized_keys; KnownHosts is the only file to look for it, where HostKey is empty.
	HostKey, KnownHosts string
	// Sudo says that what runs there is root's.
	Sudo bool
	// Dir is the directory that IdentityFile and KnownHosts may be relative to; they may begin with ~.
	Dir string
}

// address is what the host is looked up by.
func (h Host) address() string { return or(h.Address, h.Name) }

// Options are what a Resolver goes by.
type Options struct {
	// Hosts are the declared hosts, one of each name.
	Hosts []Host
	// Context is who asks, and Config reads ssh's configuration; it is called when it is first needed, once.
	Context sshconfig.Context
	Config  func() (*sshconfig.Config, error)
	// Machine is this machine.
	Machine Machine
}

// Resolver finds out how hosts are reached. It may be used by many at once.
type Resolver struct {
	hosts   map[string]Host
	context sshconfig.Context
	config  func() (*sshconfig.Config, error)
	machine Machine
}

// New returns a Resolver.
func New(o Options) *Resolver {
	r := &Resolver{hosts: map[string]Host{}, context: o.Context, config: sync.OnceValues(o.Config), machine: o.Machine}
	for _, h := range o.Hosts {
		r.hosts[h.Name] = h
	}
	return r
}

// Here returns a Resolver for this user on this machine, who reads the files that ssh would read.
func Here(hosts []Host) (*Resolver, error) {
	context, paths, err := sshconfig.Here()
	if err != nil {
		return nil, err
	}
	load := func() (*sshconfig.Config, error) { return sshconfig.Load(sshconfig.Disk{}, paths, context) }
	return New(Options{Hosts: hosts, Context: context, Config: load, Machine: ThisMachine()}), nil
}

// Resolved is how a host is reached.
type Resolved struct {
	Target link.Target
	// Declared is the name of the host's document; empty where there is none.
	Declared string
	// Notes are what of ssh's configuration for this host, or one on the way to it, isn't done.
	Notes []sshconfig.Note
}

// Resolve says how a host is reached that is named as a person would: by the name of a Host document, as [USER@]ADDRESS[:PORT], or by a name that ssh's configuration
// knows; what stands before the @ and behind the colon wins over all else. It doesn't look whether the name is this machine's: IsLocal does. An error says
// what to correct, and wraps drivers.ErrUnreachable and drivers.ErrPermanent.
func (r *Resolver) Resolve(name string) (Resolved, error) {
	hop, err := parse(name)
	if err != nil {
		return Resolved{}, refuse(name, err)
	}
	config, err := r.config()
	if err != nil {
		return Resolved{}, refuse(name, err)
	}
	w := &way{resolver: r, config: config}
	found, err := w.to(hop, nil)
	if err != nil {
		return Resolved{}, refuse(name, err)
	}
	found.Target.Name, found.Notes = name, w.notes
	return found, nil
}

// refused is an error that trying again can't help.
type refused struct {
	host string
	err  error
}

func refuse(host string, err error) error { return &refused{host, err} }

func (r *refused) Error() string { return fmt.Sprintf("find the way to host %s: %v", r.host, r.err) }
func (r *refused) Unwrap() []error {
	return []error{drivers.ErrUnreachable, drivers.ErrPermanent, r.err}
}

// parse reads a name as a person writes it. An IPv6 address needs no brackets where no port follows.
func parse(name string) (sshconfig.Hop, error) {
	if a, err := netip.ParseAddr(name); err == nil {
		return sshconfig.Hop{Host: a.String()}, nil
	}
	return sshconfig.ParseHop(name)
}

// IsLocal says whether a name means this machine, which is reached without SSH: localhost, a loopback address, the machine's name or an address of its interfaces. A user
// or a port with it asks for SSH. A declared host is this machine where its address is, and its document asks for no port, user, jump or sudo that SSH alone brings.
func (r *Resolver) IsLocal(name string) bool {
	hop, err := parse(name)
	if err != nil || hop.User != "" || hop.Port != 0 {
		return false
	}
	h, declared := r.hosts[hop.Host]
	if !declared {
		return r.machine.is(hop.Host)
	}
	plain := (h.Port == 0 || h.Port == 22) && (h.User == "" || h.User == r.context.User) && slices.Contains([]string{"", "none"}, h.ProxyJump) && !h.Sudo
	return plain && r.machine.is(h.address())
}
