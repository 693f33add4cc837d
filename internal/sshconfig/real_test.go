package sshconfig

import (
	"bytes"
	"fmt"
	"math/rand/v2"
	"os"
	"os/exec"
	"os/user"
	"path/filepath"
	"strconv"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// OpenSSH's own reading is the specification: ssh -G prints what a configuration comes to for a host.

// real is what ssh -G says, in the words of Settings; ok is false where ssh refuses the configuration.
func real(t *testing.T, q Query, config string) (want map[string]string, ok bool, said string) {
	t.Helper()
	args := []string{"-F", config, "-G"}
	if q.User != "" {
		args = append(args, "-l", q.User)
	}
	if q.Port != 0 {
		args = append(args, "-p", strconv.Itoa(q.Port))
	}
	return run(t, exec.Command("ssh", append(args, "--", q.Host)...))
}

func run(t *testing.T, cmd *exec.Cmd) (want map[string]string, ok bool, said string) {
	t.Helper()
	var out, stderr bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &stderr
	if err := cmd.Run(); err != nil {
		if cmd.ProcessState == nil {
			t.Fatalf("ssh isn't there (hack/deps.sh brings it): %v", err)
		}
		return nil, false, stderr.String()
	}
	want = map[string]string{}
	for line := range strings.Lines(out.String()) {
		word, value, _ := strings.Cut(strings.TrimRight(line, "\n"), " ")
		if old, many := want[word]; many {
			value = old + "|" + value
		}
		want[word] = value
	}
	return want, true, stderr.String()
}

// sshDefaultKeys is what ssh prints where no IdentityFile is configured.
const sshDefaultKeys = "~/.ssh/id_rsa|~/.ssh/id_ecdsa|~/.ssh/id_ecdsa_sk|~/.ssh/id_ed25519|~/.ssh/id_ed25519_sk|~/.ssh/id_xmss|~/.ssh/id_dsa"

// compare holds Settings against what ssh says. Key files it prints as they are written, so those come from raw.
func compare(t *testing.T, raw, s Settings, want map[string]string) string {
	t.Helper()
	yes := map[bool]string{true: "yes", false: "no"}
	strict := map[string]string{"yes": "true", "no": "false"}
	got := map[string]string{
		"hostname": s.HostName, "user": s.User, "port": strconv.Itoa(s.Port), "hostkeyalias": s.HostKeyAlias,
		"identityfile": strings.Join(raw.IdentityFiles, "|"), "certificatefile": strings.Join(raw.CertificateFiles, "|"),
		"identitiesonly": yes[s.IdentitiesOnly], "stricthostkeychecking": s.StrictHostKeyChecking,
		"userknownhostsfile": strings.Join(s.UserKnownHostsFiles, " "), "globalknownhostsfile": strings.Join(s.GlobalKnownHostsFiles, " "),
		"connecttimeout":      "none",
		"serveraliveinterval": strconv.Itoa(int(s.ServerAliveInterval.Seconds())), "serveralivecountmax": strconv.Itoa(s.ServerAliveCountMax),
		"proxycommand": s.ProxyCommand, "proxyjump": joined(raw.ProxyJump),
	}
	if word, ok := strict[s.StrictHostKeyChecking]; ok {
		got["stricthostkeychecking"] = word
	}
	if raw.IdentityFiles == nil {
		got["identityfile"] = sshDefaultKeys
	}
	if _, set := s.From["connecttimeout"]; set {
		got["connecttimeout"] = strconv.Itoa(int(s.ConnectTimeout.Seconds()))
	}
	if len(s.UserKnownHostsFiles) == 0 {
		got["userknownhostsfile"] = "none"
	}
	said := map[string]string{}
	for word := range got {
		said[word] = want[word]
	}
	return cmp.Diff(said, got)
}

// joined writes hops as ssh -G does, which has brackets around every address.
func joined(hops []Hop) string {
	var list []string
	for _, h := range hops {
		if strings.Trim(h.Host, "1234567890.") == "" {
			h.Host = "[" + h.Host + "]"
		}
		list = append(list, h.String())
	}
	return strings.Join(list, ",")
}

func context(t *testing.T) Context {
	t.Helper()
	account, err := user.Current() // whose home ssh uses, whatever HOME is
	if err != nil {
		t.Fatal(err)
	}
	t.Setenv("HOME", account.HomeDir)
	c, _, err := Here()
	if err != nil {
		t.Fatal(err)
	}
	return c
}

// ours reads a configuration as ssh -F does.
func ours(t *testing.T, q Query, config string, c Context) (raw, s Settings, err error) {
	t.Helper()
	loaded, err := Load(Disk{}, Paths{User: config, UserDir: filepath.Join(c.Home, ".ssh"), Chosen: true}, c)
	if err != nil {
		return raw, s, err
	}
	if raw, err = loaded.read(q, c); err != nil {
		return raw, s, err
	}
	s, err = loaded.Resolve(q, c)
	return raw, s, err
}

func writeFile(t *testing.T, name, content string) {
	t.Helper()
	if err := os.MkdirAll(filepath.Dir(name), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(name, []byte(content), 0o600); err != nil {
		t.Fatal(err)
	}
}

// TestSettingsAreThoseOfSSH reads each testdata/*.conf as ssh does and for the hosts that its first line names.
func TestSettingsAreThoseOfSSH(t *testing.T) {
	names, err := filepath.Glob("testdata/*.conf")
	if err != nil || len(names) < 10 {
		t.Fatalf("found %d configurations: %v", len(names), err)
	}
	t.Setenv("EDGE", "edge-7")
	for _, name := range names {
		content, err := os.ReadFile(name)
		if err != nil {
			t.Fatal(err)
		}
		first, _, _ := strings.Cut(string(content), "\n")
		for host := range strings.FieldsSeq(strings.TrimPrefix(first, "# hosts:")) {
			t.Run(filepath.Base(name)+" "+host, func(t *testing.T) {
				compareOn(t, queryOf(t, host), string(content))
			})
		}
	}
}

// queryOf reads a host as ssh's command line has it.
func queryOf(t *testing.T, s string) Query {
	t.Helper()
	if strings.Count(s, ":") > 1 {
		return Query{Host: s}
	}
	h, err := ParseHop(s)
	if err != nil {
		t.Fatal(err)
	}
	return Query{Host: h.Host, User: h.User, Port: h.Port}
}

// compareOn compares for one host, and says whether ssh accepts the configuration.
func compareOn(t *testing.T, q Query, content string) (accepted bool) {
	t.Helper()
	dir := t.TempDir()
	config := filepath.Join(dir, "config")
	writeFile(t, config, strings.ReplaceAll(content, "@DIR@", dir))
	for part, text := range parts(content) {
		writeFile(t, filepath.Join(dir, part), strings.ReplaceAll(text, "@DIR@", dir))
	}
	want, accepted, said := real(t, q, config)
	raw, s, err := ours(t, q, config, context(t))
	switch {
	case accepted && err != nil:
		t.Errorf("%+v: ssh reads it, and we say %v\n%s", q, err, content)
	case strings.Contains(said, "jumphost loop"): // not this package's to find
	case !accepted && err == nil:
		t.Errorf("%+v: we read it, and ssh says %s\n%s", q, said, content)
	case accepted:
		if diff := compare(t, raw, s, want); diff != "" {
			t.Errorf("%+v: -ssh +ours\n%s\n%s", q, diff, content)
		}
	}
	return accepted
}

// parts are the files beside a configuration: "#file NAME" begins each, and what follows has "#: " before each line.
func parts(content string) map[string]string {
	files := map[string]string{}
	name := ""
	for line := range strings.Lines(content) {
		if n, ok := strings.CutPrefix(line, "#file "); ok {
			name = strings.TrimSpace(n)
		} else if text, ok := strings.CutPrefix(line, "#: "); ok {
			files[name] += text
		}
	}
	return files
}

// TestRandomSettingsAreThoseOfSSH is the same of configurations that chance wrote.
func TestRandomSettingsAreThoseOfSSH(t *testing.T) {
	rounds := 300
	if testing.Short() {
		rounds = 50
	}
	accepted := 0
	for seed := range rounds {
		g := generator{rand.New(rand.NewPCG(uint64(seed), 7))}
		content := g.config(3)
		q := Query{Host: g.of("gpu-1", "gpu-2", "GPU-1", "bastion", "db.example.org", "192.0.2.7", "2001:DB8::0:7", "x")}
		if g.IntN(5) == 0 {
			q.User = g.of("ops", "root")
		}
		if g.IntN(5) == 0 {
			q.Port = 2000 + g.IntN(50)
		}
		if compareOn(t, q, content) {
			accepted++
		}
		if t.Failed() {
			t.Fatalf("seed %d", seed)
		}
	}
	if accepted < rounds/2 {
		t.Errorf("ssh accepted only %d of %d configurations, so they show little", accepted, rounds)
	}
}

type generator struct{ *rand.Rand }

func (g generator) of(words ...string) string { return words[g.IntN(len(words))] }

// config writes a configuration whose Includes are as deep as levels.
func (g generator) config(levels int) string {
	var b strings.Builder
	files := 0
	for range 3 + g.IntN(14) {
		switch n := g.IntN(20); {
		case n < 4:
			b.WriteString(g.line("Host", g.patterns(" ")))
		case n < 7:
			b.WriteString(g.line("Match", g.criteria()))
		case n == 7 && levels > 0:
			files++
			b.WriteString(g.line("Include", fmt.Sprintf("@DIR@/%d/%d-*", levels, files)))
			fmt.Fprintf(&b, "#file %d/%d-a\n", levels, files)
			for line := range strings.Lines(g.config(0)) {
				b.WriteString("#: " + line)
			}
		case n == 8:
			b.WriteString(g.of("\n", "# a comment\n", "   \t\n", "\t# Port 1\n"))
		default:
			b.WriteString(g.setting())
		}
	}
	return b.String()
}

// line writes a line in one of the ways in which it can be written.
func (g generator) line(word, rest string) string {
	word = g.of(word, word, strings.ToLower(word), strings.ToUpper(word))
	return g.of("", "", "  ", "\t") + word + g.of(" ", " ", "  ", "\t", "=", " = ", "= ") + rest + g.of("", "", " ", " # why", "\r", "\t \f") + "\n"
}

func (g generator) patterns(separator string) string {
	var list []string
	for range 1 + g.IntN(3) {
		list = append(list, g.of("", "", "", "!")+g.of("gpu-1", "gpu-*", "gpu-?", "*", "bastion", "*.example.org", "192.0.2.*", "2001:db8::*", "edge", "x", "GPU-1"))
	}
	return strings.Join(list, separator)
}

func (g generator) criteria() string {
	if g.IntN(6) == 0 {
		return g.wrong("host", "all host x", `user "ops`)(g.of("all", "final all", "canonical all", "!all", "host gpu-* all", "final", "!final"))
	}
	var list []string
	for range 1 + g.IntN(2) {
		not := g.of("", "", "!")
		switch g.IntN(5) {
		case 0, 1:
			list = append(list, not+g.of("host", "originalhost", "Host")+g.of(" ", "=")+g.patterns(","))
		case 2:
			list = append(list, not+"user "+g.of("ops", "root,!ops", "o*", `"ops"`))
		case 3:
			list = append(list, not+"localuser "+g.of("root", "nobody", "r*,n*"))
		default:
			list = append(list, not+"final")
		}
	}
	return strings.Join(list, " ")
}

func (g generator) setting() string {
	switch g.IntN(21) {
	case 0, 1:
		return g.line("HostName", g.of("10.0.0.5", "%h.example.org", "Edge", "2001:db8:0::5", `"db"`, "%%h", "gpu-1"))
	case 2, 3:
		return g.line("User", g.of("ops", "root", `"an other"`, "'ops'", `a\ b`))
	case 4, 5:
		return g.line("Port", g.wrong("0", "65536", "2x", "-1", "22 23")(g.of("22", "2222", "65535", "ssh", "022")))
	case 6, 7, 8:
		return g.line("IdentityFile", g.wrong(`"/k/c`, `""`)(g.of("~/.ssh/a", "/k/b", "~/.ssh/%r@%h", "none", `"/k/c d"`, "/k/%%", "${HOME}/k")))
	case 9:
		return g.line("IdentitiesOnly", g.wrong("maybe", "1")(g.of("yes", "no", "TRUE")))
	case 10:
		return g.line("CertificateFile", g.of("~/c-cert.pub", "/c/%u"))
	case 11:
		return g.line("IdentityAgent", g.of("none", "SSH_AUTH_SOCK", "~/agent.sock", "/run/%i/agent"))
	case 12, 13:
		return g.line("ProxyJump", g.wrong("a,,b", "@a", "a:0", "ssh://[::1]", "[::1")(g.of("bastion", "ops@bastion:2200", "a,b", "ssh://me@c:22", "[2001:db8::1]:22", "x@[::1]")))
	case 14:
		if g.IntN(3) == 0 {
			return "ProxyJump none\n" // a comment behind it would make it a host, of that name: a slip of ssh's
		}
		return g.line("ProxyCommand", g.of("none", "nc %h %p", "ssh -W %h:%p bastion"))
	case 15:
		return g.line("UserKnownHostsFile", g.wrong("none /a")(g.of("/dev/null", "~/a ~/b", "none", "~/.ssh/kh_%k", "~/%C")))
	case 16:
		return g.line("GlobalKnownHostsFile", g.of("/dev/null", "/etc/a /etc/b"))
	case 17:
		return g.line("StrictHostKeyChecking", g.wrong("never")(g.of("yes", "no", "ask", "accept-new", "off", "Accept-New")))
	case 18:
		return g.line("ConnectTimeout", g.wrong("x", "1y", "99999999999")(g.of("5", "1m30s", "none", "0", "2h")))
	case 19:
		return g.line("ServerAliveInterval", g.wrong("-5", "5,5")(g.of("15", "0", "1m", "none")))
	default:
		return g.line(g.of("HostKeyAlias", "ServerAliveCountMax"), g.of("3", "0", "7"))
	}
}

// wrong replaces an argument, seldom, by one that ssh refuses.
func (g generator) wrong(words ...string) func(string) string {
	return func(right string) string {
		if g.IntN(40) == 0 {
			return g.of(words...)
		}
		return right
	}
}
