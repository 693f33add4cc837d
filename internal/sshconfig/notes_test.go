package sshconfig

import (
	"errors"
	"io/fs"
	"path"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// memory are Files by their names.
type memory map[string]string

func (m memory) Read(name string, _ bool) ([]byte, error) {
	content, ok := m[name]
	if !ok {
		return nil, fs.ErrNotExist
	}
	return []byte(content), nil
}

func (m memory) Glob(pattern string) ([]string, error) {
	var found []string
	for name := range m {
		if ok, err := path.Match(pattern, name); ok && err == nil {
			found = append(found, name)
		}
	}
	slices.Sort(found)
	return found, nil
}

func bob() Context {
	return Context{User: "bob", UID: "1000", Home: "/home/bob", HostName: "desk.example.org"}
}

func paths() Paths {
	return Paths{User: "/home/bob/.ssh/config", UserDir: "/home/bob/.ssh", System: "/etc/ssh/ssh_config", SystemDir: "/etc/ssh"}
}

func mustLoad(t *testing.T, files memory) *Config {
	t.Helper()
	c, err := Load(files, paths(), bob())
	if err != nil {
		t.Fatal(err)
	}
	return c
}

func mustResolve(t *testing.T, files memory, q Query) Settings {
	t.Helper()
	s, err := mustLoad(t, files).Resolve(q, bob())
	if err != nil {
		t.Fatal(err)
	}
	return s
}

func only(config string) memory { return memory{"/home/bob/.ssh/config": config} }

func TestWhatIsNotDoneIsNoted(t *testing.T) {
	for _, c := range []struct {
		name, config string
		want         []string
	}{
		{"nothing of what is done", "Port 2222\nUser ops\nProxyJump bastion\nStrictHostKeyChecking no\n", nil},
		{"a word that nobody knows", "Frobnicate yes\n", []string{"1: Frobnicate isn't understood, and has no effect"}},
		{"unless the configuration says that it knows", "IgnoreUnknown frob*\nFrobnicate yes\nOther yes\n", []string{"3: Other isn't understood, and has no effect"}},
		{"a block of another host's", "Host other\nForwardAgent yes\nProxyCommand nc %h %p\n", nil},
		{"what asks for what is done anyway", "ForwardAgent no\nAddressFamily any\nKnownHostsCommand none\nVerifyHostKeyDNS no\nHost gpu\nForwardAgent yes\n", nil},
		{"a command", "ProxyCommand nc %h %p\n", []string{"1: ProxyCommand isn't run: the way there has to be a ProxyJump"}},
		{"a command that is a jump", "ProxyCommand ssh -q -W %h:%p ops@bastion\n", []string{"1: ProxyCommand isn't run: write ProxyJump ops@bastion"}},
		{"a command that is a jump, the other way round", "ProxyCommand=ssh bastion -W [%h]:%p\n", []string{"1: ProxyCommand isn't run: write ProxyJump bastion"}},
		{"a command after a jump", "ProxyJump bastion\nProxyCommand nc %h %p\n", nil},
		{"each word once", "LocalForward 1 a:1\nLocalForward 2 b:2\nlocalforward 3 c:3\n", []string{"1: LocalForward isn't done: no port is forwarded (minor)"}},
		{"what only ssh has", "ControlMaster auto\nControlPath ~/.ssh/%C\nLogLevel DEBUG\nVisualHostKey yes\nPasswordAuthentication no\n", nil},
		{"how keys are checked", "KnownHostsCommand /bin/keys %H\nRevokedHostKeys /etc/ssh/revoked\nBindAddress 10.0.0.1\n", []string{
			"1: KnownHostsCommand isn't run: put the host's key into a known_hosts file, or into hostKey of a Host",
			"2: RevokedHostKeys isn't read: mark the keys in it as @revoked in a known_hosts file",
			"3: BindAddress isn't honoured: the system chooses the address that a connection leaves from"}},
		{"names that ssh would complete", "CanonicalizeHostname yes\nCanonicalDomains example.org\n", []string{
			"1: CanonicalizeHostname isn't honoured: no domain is added to names; write HostName"}},
	} {
		t.Run(c.name, func(t *testing.T) {
			var got []string
			for _, n := range mustResolve(t, only(c.config), Query{Host: "gpu"}).Notes {
				s := strings.TrimPrefix(n.String(), "/home/bob/.ssh/config:")
				if n.Minor {
					s += " (minor)"
				}
				got = append(got, s)
			}
			if diff := cmp.Diff(c.want, got); diff != "" {
				t.Errorf("-want +got\n%s", diff)
			}
		})
	}
}

func TestMatchExecIsNotRun(t *testing.T) {
	const config = "Match exec \"touch /tmp/ran\"\nUser exec\nMatch !exec true\nUser not\n" +
		"Match host other exec true\nUser other\nMatch host gpu exec true user bob\nUser both\nMatch tagged a\nUser tagged\nMatch all\nPort 2222\n"
	s := mustResolve(t, only(config), Query{Host: "gpu"})
	if s.User != "bob" || s.Port != 2222 {
		t.Errorf("user %s, port %d", s.User, s.Port)
	}
	var lines []int
	for _, n := range s.Notes {
		lines = append(lines, n.Line)
	}
	if diff := cmp.Diff([]int{1, 3, 7, 9}, lines); diff != "" {
		t.Errorf("noted lines -want +got\n%s", diff)
	}
}

func TestAlsoAreOtherNamesOfTheHost(t *testing.T) {
	const config = `
Host gpu-1
	HostName of-gpu-1
	User ops
	IdentityFile ~/gpu-1
Host gpu-lan
	HostName 10.0.0.5
	ProxyJump bastion
Match originalhost gpu-1
	Port 2222
Host * !gpu-1
	IdentityFile ~/not-gpu-1
Match !host gpu-1
	IdentityFile ~/not-gpu-1-either
Host *
	User me
`
	got := mustResolve(t, only(config), Query{Host: "gpu-lan", Also: []string{"gpu-1"}})
	got.From, got.UserKnownHostsFiles, got.GlobalKnownHostsFiles = nil, nil, nil
	want := Settings{HostName: "10.0.0.5", Port: 2222, User: "ops", IdentityFiles: []string{"/home/bob/gpu-1"}, ProxyJump: []Hop{{Host: "bastion"}},
		StrictHostKeyChecking: "ask", ServerAliveCountMax: 3}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("-want +got\n%s", diff)
	}
}

func TestTheQueryWinsAndIsWhatMatchUserSees(t *testing.T) {
	const config = "User bob\nPort 22\nMatch user ops\nHostKeyAlias ops\n"
	s := mustResolve(t, only(config), Query{Host: "gpu", User: "ops", Port: 2022})
	if s.User != "ops" || s.Port != 2022 || s.HostKeyAlias != "ops" {
		t.Errorf("user %s, port %d, alias %s", s.User, s.Port, s.HostKeyAlias)
	}
}

func TestTheUsersFileComesBeforeTheMachines(t *testing.T) {
	files := memory{
		"/home/bob/.ssh/config":     "Include more\nUser user\n",
		"/home/bob/.ssh/more":       "Port 2001\n",
		"/etc/ssh/ssh_config":       "Include d/*.conf\nUser machine\nHostKeyAlias machine\n",
		"/etc/ssh/d/first.conf":     "Port 2002\nConnectTimeout 5\n",
		"/home/bob/.ssh/d/not.conf": "ConnectTimeout 6\n",
	}
	s := mustResolve(t, files, Query{Host: "gpu"})
	if s.User != "user" || s.Port != 2001 || s.HostKeyAlias != "machine" || s.ConnectTimeout.Seconds() != 5 {
		t.Errorf("%+v", s)
	}
	want := map[string]Place{"user": {"/home/bob/.ssh/config", 2}, "port": {"/home/bob/.ssh/more", 1},
		"hostkeyalias": {"/etc/ssh/ssh_config", 3}, "connecttimeout": {"/etc/ssh/d/first.conf", 2}}
	if diff := cmp.Diff(want, s.From); diff != "" {
		t.Errorf("-want +got\n%s", diff)
	}
}

func TestFilesMayBeMissingUnlessTheyWereChosen(t *testing.T) {
	if s := mustResolve(t, memory{}, Query{Host: "GPU"}); s.HostName != "gpu" || s.Port != 22 || s.User != "bob" {
		t.Errorf("%+v", s)
	}
	if _, err := Load(memory{}, Paths{User: "/chosen", Chosen: true}, bob()); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("got %v", err)
	}
}

func TestMistakesAreNamedAllAtOnce(t *testing.T) {
	files := memory{
		"/home/bob/.ssh/config":  "Port none\nHost other\n\tUser \"bob\nInclude more\nMatch host\n",
		"/home/bob/.ssh/more":    "ProxyJump a,,b\n",
		"/etc/ssh/ssh_config":    "Include ~/x\nIdentitiesOnly perhaps\nHost\t\nHost \"\"\n",
		"/etc/ssh/never-reached": "Port none\n",
	}
	_, err := Load(files, paths(), bob())
	want := strings.Join([]string{
		`/home/bob/.ssh/config:1: Port: "none" isn't a port: a number from 1 to 65535`,
		`/home/bob/.ssh/config:3: User: a quote doesn't end`,
		`/home/bob/.ssh/more:1: ProxyJump: "" isn't a host: [USER@]HOST[:PORT], with brackets around an IPv6 address`,
		`/home/bob/.ssh/config:5: Match: host has no argument`,
		`/etc/ssh/ssh_config:1: Include: ~/x: the machine's configuration has no home`,
		`/etc/ssh/ssh_config:2: IdentitiesOnly: "perhaps" isn't yes or no`,
		`/etc/ssh/ssh_config:3: Host: no argument`,
		`/etc/ssh/ssh_config:4: Host: an argument is empty`}, "\n")
	if err == nil || err.Error() != want {
		t.Errorf("got\n%v\nwant\n%s", err, want)
	}
}

func TestBoundsOfWhatIsRead(t *testing.T) {
	for name, files := range map[string]memory{
		"more than 16 deep": only("Include config\n"),
		"more than 16 MiB":  only(strings.Repeat("#", maxBytes)),
		"counted each time": {"/home/bob/.ssh/config": "Include a a a a a a a a\n", "/home/bob/.ssh/a": "Include b b b b b b b b\n", "/home/bob/.ssh/b": "Include c c c c c c c c\n",
			"/home/bob/.ssh/c": "Include d d d d d d d d\n", "/home/bob/.ssh/d": "Port 22\n"},
		"isn't text": only("Port 22\n\x00"),
	} {
		if _, err := Load(files, paths(), bob()); err == nil || !strings.Contains(err.Error(), name) {
			t.Errorf("%s: got %v", name, err)
		}
	}
}

func TestExpansionsThatCannotBeAreErrors(t *testing.T) {
	for config, want := range map[string]string{
		"HostName %p":                       "HostName %p: %p isn't a token that can stand here",
		"IdentityFile ~/%z":                 "IdentityFile /home/bob/%z: %z isn't a token that can stand here",
		"IdentityFile ~/a%":                 "IdentityFile /home/bob/a%: it ends in the middle of a token",
		"CertificateFile ~nobody/a":         "CertificateFile ~nobody/a: there is no user nobody",
		"UserKnownHostsFile /a ${UNSET}/kh": "UserKnownHostsFile ${UNSET}/kh: the environment has no UNSET",
		"IdentityAgent ${OPEN":              "IdentityAgent ${OPEN: ${ isn't followed by a name and }",
		"ProxyJump bastion-%d":              "ProxyJump bastion-%d: %d isn't a token that can stand here",
	} {
		_, err := mustLoad(t, only(config)).Resolve(Query{Host: "gpu"}, bob())
		if err == nil || err.Error() != "resolve gpu in ssh's configuration: "+want {
			t.Errorf("%s: got %v", config, err)
		}
	}
}

func TestAHostMayBeRefused(t *testing.T) {
	const config = "Match originalhost old\nRefuseConnection \"it is gone\"\n"
	if s := mustResolve(t, only(config), Query{Host: "old"}); s.RefuseConnection != "it is gone" {
		t.Errorf("%+v", s)
	}
	if s := mustResolve(t, only(config), Query{Host: "new"}); s.RefuseConnection != "" {
		t.Errorf("%+v", s)
	}
}

func TestAgentOfTheConfiguration(t *testing.T) {
	c := bob()
	c.LookupEnv = func(name string) (string, bool) { return "/run/other", name == "OTHER" }
	for arg, want := range map[string]string{
		"SSH_AUTH_SOCK": "", "none": "none", "~/agent": "/home/bob/agent", "$OTHER": "/run/other", "$UNSET": "none", "${OTHER}.sock": "/run/other.sock", "/run/%i": "/run/1000",
	} {
		s, err := mustLoad(t, only("IdentityAgent "+arg)).Resolve(Query{Host: "gpu"}, c)
		if err != nil || s.IdentityAgent != want {
			t.Errorf("%s: got %q, %v; want %q", arg, s.IdentityAgent, err, want)
		}
	}
}

// Two resolutions of one Config, one after the other, are alike: nothing in it is changed.
func TestAConfigIsNotChangedByItsUse(t *testing.T) {
	c := mustLoad(t, only("ProxyJump %r@bastion-%h,x\nUserKnownHostsFile ~/%n /b\nIdentityFile ~/%n\nHostName %h.example.org\nMatch final\nPort 2222\n"))
	for _, host := range []string{"a", "b", "a"} {
		s, err := c.Resolve(Query{Host: host}, bob())
		if err != nil {
			t.Fatal(err)
		}
		want := []string{host + ".example.org", "bob", "bastion-" + host + ".example.org", "/home/bob/" + host, "/home/bob/" + host}
		got := []string{s.HostName, s.ProxyJump[0].User, s.ProxyJump[0].Host, s.UserKnownHostsFiles[0], s.IdentityFiles[0]}
		if diff := cmp.Diff(want, got); diff != "" {
			t.Errorf("%s: -want +got\n%s", host, diff)
		}
	}
}

func TestIdentityFilesMayBeNone(t *testing.T) {
	if s := mustResolve(t, only("IdentityFile none\nUserKnownHostsFile none\n"), Query{Host: "gpu"}); s.IdentityFiles == nil || len(s.IdentityFiles) > 0 || len(s.UserKnownHostsFiles) > 0 {
		t.Errorf("%#v, %#v", s.IdentityFiles, s.UserKnownHostsFiles)
	}
	if s := mustResolve(t, only(""), Query{Host: "gpu"}); s.IdentityFiles != nil {
		t.Errorf("%#v", s.IdentityFiles)
	}
}
