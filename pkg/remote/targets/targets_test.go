package targets

import (
	"errors"
	"net/netip"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"reconciler.dev/reconciler/internal/sshconfig"
	"reconciler.dev/reconciler/pkg/drivers"
	"reconciler.dev/reconciler/pkg/remote/link"
)

// with returns a Resolver for bob, whose ~/.ssh/config that is.
func with(t *testing.T, config string, hosts ...Host) *Resolver {
	t.Helper()
	file := filepath.Join(t.TempDir(), "config")
	if err := os.WriteFile(file, []byte(config), 0o600); err != nil {
		t.Fatal(err)
	}
	context := sshconfig.Context{User: "bob", UID: "1000", Home: "/home/bob", HostName: "desk.example.org"}
	load := func() (*sshconfig.Config, error) {
		return sshconfig.Load(sshconfig.Disk{}, sshconfig.Paths{User: file, Chosen: true}, context)
	}
	m := Machine{Names: []string{"desk.example.org"}, Addresses: []netip.Addr{netip.MustParseAddr("192.0.2.7"), netip.MustParseAddr("2001:db8::7")}}
	return New(Options{Hosts: hosts, Context: context, Config: load, Machine: m})
}

func host(name string, h Host) Host {
	h.Name, h.Dir = name, "/etc/hosts.d"
	return h
}

// target is a host with every default.
func target(name, address string, change ...func(*link.Target)) link.Target {
	t := link.Target{
		Name: name, Address: address, Port: 22, User: "bob", StrictHostKeyChecking: "ask", ConnectTimeout: 10 * time.Second, AliveInterval: 5 * time.Second, AliveCountMax: 3,
		KnownHostsFiles: []string{"/home/bob/.ssh/known_hosts", "/home/bob/.ssh/known_hosts2", "/etc/ssh/ssh_known_hosts", "/etc/ssh/ssh_known_hosts2"},
	}
	for _, c := range change {
		c(&t)
	}
	return t
}

func TestResolve(t *testing.T) {
	for _, c := range []struct {
		what, config string
		hosts        []Host
		name         string
		want         link.Target
	}{
		{"an address of which nothing is said", "", nil, "10.0.0.5", target("10.0.0.5", "10.0.0.5")},
		{"an IPv6 address", "", nil, "2001:DB8::0:5", target("2001:DB8::0:5", "2001:db8::5")},
		{"user, address and port", "User ops\nPort 2222\n", nil, "eve@[2001:db8::5]:2022", target("eve@[2001:db8::5]:2022", "2001:db8::5", func(t *link.Target) { t.User, t.Port = "eve", 2022 })},
		{
			"a name of ssh's configuration", `
Host gpu-1
	HostName 10.0.0.5
	Port 2222
	User ops
	IdentityFile ~/.ssh/gpu
	CertificateFile ~/.ssh/gpu-cert.pub
	IdentitiesOnly yes
	IdentityAgent ~/agent
	UserKnownHostsFile ~/.ssh/gpus
	GlobalKnownHostsFile none
	HostKeyAlias gpus
	StrictHostKeyChecking accept-new
	ConnectTimeout 3
	ServerAliveInterval 20
	ServerAliveCountMax 2
`, nil, "gpu-1",
			link.Target{
				Name: "gpu-1", Address: "10.0.0.5", Port: 2222, User: "ops", IdentityFiles: []string{"/home/bob/.ssh/gpu"}, CertificateFiles: []string{"/home/bob/.ssh/gpu-cert.pub"},
				IdentitiesOnly: true, IdentityAgent: "/home/bob/agent", KnownHostsFiles: []string{"/home/bob/.ssh/gpus"}, HostKeyAlias: "gpus", StrictHostKeyChecking: "accept-new",
				ConnectTimeout: 3 * time.Second, AliveInterval: 20 * time.Second, AliveCountMax: 2,
			},
		},
		{"none of the usual keys, and nowhere to remember hosts", "IdentityFile none\nUserKnownHostsFile none\nGlobalKnownHostsFile /kh\n", nil, "gpu-1",
			target("gpu-1", "gpu-1", func(t *link.Target) {
				t.IdentityFiles, t.KnownHostsFiles = []string{}, []string{"/dev/null", "/kh"}
			})},
		{"a declared host", "", []Host{host("gpu-1", Host{Address: "10.0.0.5", Port: 2222, User: "ops", IdentityFile: "~/gpu", KnownHosts: "keys/gpus", HostKey: "ssh-ed25519 AAAA"})}, "gpu-1",
			target("gpu-1", "10.0.0.5", func(t *link.Target) {
				t.Port, t.User, t.IdentityFiles, t.IdentitiesOnly = 2222, "ops", []string{"/home/bob/gpu"}, true
				t.KnownHostsFiles, t.HostKey = []string{"/etc/hosts.d/keys/gpus"}, "ssh-ed25519 AAAA"
			})},
		{"a declared host without an address", "", []Host{host("gpu-1", Host{})}, "gpu-1", target("gpu-1", "gpu-1")},
		{"a declared host, as another user", "", []Host{host("gpu-1", Host{Address: "10.0.0.5", User: "ops", Port: 2222})}, "eve@gpu-1",
			target("eve@gpu-1", "10.0.0.5", func(t *link.Target) { t.Port, t.User = 2222, "eve" })},
		{"a document's fields win over ssh's configuration", "Host gpu-1\nHostName 10.0.0.6\nUser eve\nPort 2022\nIdentityFile ~/eve\nHostKeyAlias gpus\nProxyJump nowhere\n",
			[]Host{host("gpu-1", Host{Address: "10.0.0.5", Port: 22, User: "ops", IdentityFile: "/keys/ops", ProxyJump: "none"})}, "gpu-1",
			target("gpu-1", "10.0.0.5", func(t *link.Target) {
				t.User, t.IdentityFiles, t.IdentitiesOnly, t.HostKeyAlias = "ops", []string{"/keys/ops"}, true, "gpus"
			})},
		{"a document's address is a name of ssh's configuration, too", "Host gpu-lan\nHostName 10.0.0.5\nPort 2222\nHost gpu-1\nUser ops\nHost *\nUser me\nPort 22\n",
			[]Host{host("gpu-1", Host{Address: "gpu-lan"})}, "gpu-1",
			target("gpu-1", "10.0.0.5", func(t *link.Target) { t.User, t.Port = "ops", 2222 })},
		{"a document's jump in place of a command", "ProxyCommand nc %h %p\nHost bastion\nProxyCommand none\n",
			[]Host{host("gpu-1", Host{ProxyJump: "none"})}, "gpu-1", target("gpu-1", "gpu-1")},
	} {
		t.Run(c.what, func(t *testing.T) {
			got, err := with(t, c.config, c.hosts...).Resolve(c.name)
			if err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(c.want, got.Target); diff != "" {
				t.Errorf("-want +got\n%s", diff)
			}
			if declared := len(c.hosts) > 0; declared != (got.Declared != "") {
				t.Errorf("declared: %q", got.Declared)
			}
		})
	}
}

func TestWayToAHost(t *testing.T) {
	const config = `
Host edge
	HostName edge.example.org
	User ed
	Port 2201
Host inner
	ProxyJump edge
	HostKeyAlias inside
Host gpu-*
	ProxyJump ops@inner:2202,last
	User gil
Host direct
	ProxyJump none
Host last
	ProxyJump elsewhere
Host tokens
	ProxyJump %r@jump-%h
Host other
	ProxyJump declared
Host behind
	ProxyJump edge,commanded
Host commanded
	ProxyCommand nc %h %p
`
	hosts := []Host{
		host("far", Host{Address: "10.0.0.5", ProxyJump: "edge,declared"}),
		host("declared", Host{Address: "10.0.0.1", User: "dee", ProxyJump: "direct"}),
		host("gpu-9", Host{ProxyJump: "none"}),
	}
	for name, want := range map[string]string{
		"plain":     "",
		"direct":    "",
		"gpu-9":     "",
		"edge":      "",
		"inner":     "ed@edge.example.org:2201",
		"gpu-1":     "ed@edge.example.org:2201 ops@inner:2202 bob@last:22",
		"bob@gpu-1": "ed@edge.example.org:2201 ops@inner:2202 bob@last:22",
		"last":      "bob@elsewhere:22",
		"tokens":    "bob@jump-tokens:22",
		"far":       "ed@edge.example.org:2201 dee@10.0.0.1:22",
		"other":     "bob@direct:22 dee@10.0.0.1:22",
		"behind":    "ed@edge.example.org:2201 bob@commanded:22", // a hop that isn't the nearest is reached through the one before, whatever its own way would be
	} {
		got, err := with(t, config, hosts...).Resolve(name)
		if err != nil {
			t.Errorf("%s: %v", name, err)
			continue
		}
		var way []string
		for _, j := range got.Target.Jumps {
			way = append(way, sshconfig.Hop{User: j.User, Host: j.Address, Port: j.Port}.String())
			if len(j.Jumps) > 0 {
				t.Errorf("%s: a jump has jumps of its own", name)
			}
		}
		if strings.Join(way, " ") != want {
			t.Errorf("%s: got %q, want %q", name, way, want)
		}
	}
	got, err := with(t, config, hosts...).Resolve("gpu-1")
	if behind, err := with(t, config, hosts...).Resolve("behind"); err != nil || len(behind.Notes) > 0 {
		t.Errorf("a ProxyCommand that doesn't count is noted: %v, %v", behind.Notes, err)
	}
	if err != nil || got.Target.Jumps[1].HostKeyAlias != "inside" || got.Target.Jumps[1].Name != "ops@inner:2202" || got.Target.Jumps[1].ConnectTimeout != ConnectTimeout {
		t.Errorf("a jump has its own settings: %+v, %v", got.Target.Jumps, err)
	}
}

func TestWhatCannotBeReachedIsSaid(t *testing.T) {
	for _, c := range []struct {
		config, name string
		hosts        []Host
		want         string
	}{
		{"", "", nil, `find the way to host : "" isn't a host: [USER@]HOST[:PORT], with brackets around an IPv6 address`},
		{"", "gpu-1:ssh2", nil, `find the way to host gpu-1:ssh2: "gpu-1:ssh2" isn't a host: "ssh2" isn't a port: a number from 1 to 65535`},
		{"Port 0\n", "gpu-1", nil, `find the way to host gpu-1: FILE:1: Port: "0" isn't a port: a number from 1 to 65535`},
		{"IdentityFile ~/%z\n", "gpu-1", nil, "find the way to host gpu-1: resolve gpu-1 in ssh's configuration: IdentityFile /home/bob/%z: %z isn't a token that can stand here"},
		{"\nProxyCommand nc %h %p\n", "gpu-1", nil,
			"find the way to host gpu-1: FILE:2: ssh would run a ProxyCommand to get there (nc %h %p), and reconciler runs none: write a ProxyJump in its place, or proxyJump in a Host"},
		{"RefuseConnection it-is-gone\n", "gpu-1", nil, "find the way to host gpu-1: FILE:1: ssh's configuration refuses connections to it: it-is-gone"},
		{"ProxyJump bastion\n", "gpu-1", nil,
			"find the way to host gpu-1: by way of bastion: by way of bastion: that goes in a circle, through bob@bastion:22 twice; where a ProxyJump is for all hosts, write ProxyJump none for this one above it"},
		{"ProxyJump a,b,a\nHost a\nProxyJump none\n", "gpu-1", nil, "find the way to host gpu-1: by way of a: by way of a: that"},
		{"ProxyJump x%h\n", "gpu-1", nil, "there are more than 16 hosts on the way"},
		{"Host a\nProxyJump b\nHost b\nProxyJump a\n", "a", nil, "through bob@a:22 twice"},
		{"Host a\nProxyJump b,c,b\n", "a", nil, "through bob@b:22 twice"},
		{"", "a", []Host{host("a", Host{ProxyJump: "b,,c"})}, `find the way to host a: "" isn't a host`},
		{"", "a", []Host{host("a", Host{IdentityFile: "~eve/key"})}, "find the way to host a: identityFile ~eve/key: there is no user eve"},
		{"", "a", []Host{{Name: "a", KnownHosts: "kh"}}, "find the way to host a: knownHosts kh: it has to be absolute, or to begin with ~/"},
		{"", "a", []Host{host("a", Host{ProxyJump: "b"}), host("b", Host{ProxyJump: "a"})}, "through bob@a:22 twice"},
	} {
		r := with(t, c.config, c.hosts...)
		_, err := r.Resolve(c.name)
		if err == nil {
			t.Errorf("%q: no error", c.config)
			continue
		}
		if !errors.Is(err, drivers.ErrUnreachable) || !errors.Is(err, drivers.ErrPermanent) {
			t.Errorf("%q: %v isn't unreachable for good", c.config, err)
		}
		if got := err.Error(); !strings.Contains(strings.Join(strings.Fields(withoutDirectory(got)), " "), c.want) {
			t.Errorf("%q: got\n%s\nwant\n%s", c.config, got, c.want)
		}
	}
}

// withoutDirectory writes FILE for the configuration's name.
func withoutDirectory(s string) string {
	var words []string
	for w := range strings.FieldsSeq(s) {
		if i := strings.Index(w, "/config:"); i >= 0 && strings.HasPrefix(w, "/") {
			w = "FILE" + w[i+len("/config"):]
		}
		words = append(words, w)
	}
	return strings.Join(words, " ")
}

func TestNotesOfTheWholeWay(t *testing.T) {
	got, err := with(t, "Match all\nForwardAgent yes\nServerAliveInterval 0\nHost gpu-1\nProxyJump bastion\nHost bastion\nBindAddress 10.0.0.1\n").Resolve("gpu-1")
	if err != nil {
		t.Fatal(err)
	}
	var words []string
	for _, n := range got.Notes {
		words = append(words, n.Word)
	}
	if diff := cmp.Diff([]string{"ForwardAgent", "ServerAliveInterval 0", "BindAddress"}, words); diff != "" {
		t.Errorf("-want +got\n%s", diff)
	}
	if got.Target.AliveInterval != AliveInterval {
		t.Errorf("the link asks every %v", got.Target.AliveInterval)
	}
}

func TestIsLocal(t *testing.T) {
	r := with(t, "Host alias\nHostName localhost\n",
		host("here", Host{Address: "192.0.2.7"}),
		host("here-by-user", Host{Address: "localhost", User: "bob", Port: 22, ProxyJump: "none"}),
		host("there-by-port", Host{Address: "127.0.0.1", Port: 2201}),
		host("there-by-user", Host{Address: "127.0.0.1", User: "root"}),
		host("there-by-sudo", Host{Address: "127.0.0.1", Sudo: true}),
		host("there-by-jump", Host{Address: "127.0.0.1", ProxyJump: "bastion"}),
		host("desk", Host{Address: "10.0.0.5"}),
	)
	for name, want := range map[string]bool{
		"localhost": true, "LOCALHOST": true, "localhost.": true, "127.0.0.1": true, "127.0.1.1": true, "::1": true, "[::1]": true, "0:0::1": true, "::ffff:127.0.0.1": true,
		"desk.example.org": true, "Desk.Example.org.": true, "192.0.2.7": true, "2001:db8::7": true, "2001:DB8:0::7": true,
		"here": true, "here-by-user": true,
		"desk":     false, // a document says where that is
		"desk.lan": false, "192.0.2.8": false, "gpu-1": false, "alias": false, "": false, "localhost.example.org": false,
		"bob@localhost": false, "localhost:22": false, "127.0.0.1:2201": false,
		"there-by-port": false, "there-by-user": false, "there-by-sudo": false, "there-by-jump": false,
	} {
		if got := r.IsLocal(name); got != want {
			t.Errorf("%s: got %v", name, got)
		}
	}
	if !with(t, "").IsLocal("desk") {
		t.Error("a machine isn't known by the first part of its name")
	}
}

func TestThisMachineKnowsItself(t *testing.T) {
	name, err := os.Hostname()
	if err != nil {
		t.Fatal(err)
	}
	m := ThisMachine()
	if !m.is(name) || len(m.Addresses) == 0 || !m.is(m.Addresses[0].String()) {
		t.Errorf("%+v", m)
	}
}

func TestSSHsConfigurationIsReadOnceAndOnlyWhenItIsNeeded(t *testing.T) {
	times := 0
	r := New(Options{Config: func() (*sshconfig.Config, error) { times++; return &sshconfig.Config{}, nil }})
	if !r.IsLocal("localhost") || times != 0 {
		t.Errorf("read %d times", times)
	}
	for range 3 {
		if _, err := r.Resolve("gpu-1"); err != nil {
			t.Fatal(err)
		}
	}
	if times != 1 {
		t.Errorf("read %d times", times)
	}
}
