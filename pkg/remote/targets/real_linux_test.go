package targets_test

import (
	"io"
	"os"
	"os/exec"
	"strings"
	"sync"
	"testing"

	"reconciler.dev/reconciler/pkg/remote/link"
	"reconciler.dev/reconciler/pkg/remote/targets"
	"reconciler.dev/reconciler/test/labhost"
	"reconciler.dev/reconciler/test/sshlab"
)

func TestMain(m *testing.M) { labhost.Main(m) }

// TestRealWays goes to real hosts, through real hosts, by what the files of an administrator say, as ssh does.
func TestRealWays(t *testing.T) {
	home, err := sshlab.NewHome(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	hosts := labhost.StartAll(t, 3, labhost.SystemdUser)
	var all sync.WaitGroup
	for _, h := range hosts {
		all.Go(func() {
			if err := home.Enroll(t.Context(), h, "alice"); err != nil {
				t.Error(err)
			}
		})
	}
	all.Wait()
	edge, inner, far := hosts[0], hosts[1], hosts[2]
	err = home.Configure("Host inner", "  HostName "+inner.Addr, "  ProxyJump alice@"+edge.Name, "Host far", "  HostName "+far.Addr, "  ProxyJump inner", "  User alice",
		"Match host "+far.Addr+" exec \"touch "+home.Path("ran")+"; false\"", "  Port 4711",
		"Host *", "  User root", "  StrictHostKeyChecking yes", "  IdentityFile "+home.Path("id_ed25519"), "  UserKnownHostsFile "+home.Path("known_hosts"), "  GlobalKnownHostsFile none")
	if err != nil {
		t.Fatal(err)
	}
	t.Setenv("HOME", home.Dir)
	declared := targets.Host{Name: "declared", Address: far.Name, User: "alice", ProxyJump: "inner", IdentityFile: "id_ed25519", HostKey: home.HostKey(far.Name).Line(), Dir: home.Path("")}
	resolver, err := targets.Here([]targets.Host{declared})
	if err != nil {
		t.Fatal(err)
	}
	dialer := link.New(link.Options{Connect: edge.Dial, Home: home.Dir})
	as := map[string]string{
		edge.Name: "root " + edge.Name, "alice@" + edge.Name: "alice " + edge.Name, "inner": "root " + inner.Name, "far": "alice " + far.Name, "root@far": "root " + far.Name,
		"declared": "alice " + far.Name, "root@declared": "root " + far.Name,
	}
	for name, want := range as {
		way, err := resolver.Resolve(name)
		if err != nil {
			t.Error(err)
		} else if got := whoAmI(t, dialer, way.Target); got != want {
			t.Errorf("%s: I am %q, want %q", name, got, want)
		}
	}
	if way, err := resolver.Resolve("far"); err != nil || len(way.Notes) == 0 || way.Notes[0].Word != "Match exec" {
		t.Errorf("noted is %v, %v", way.Notes, err)
	}
	if _, err := os.Stat(home.Path("ran")); err == nil {
		t.Error("a command of ssh's configuration was run")
	}
	for _, name := range []string{edge.Name, "alice@" + edge.Name, "inner", "far", "root@far"} {
		args := append(edge.Beside(), "ssh", "-F", home.Path("config"), "-o", "BatchMode=yes", name, "echo $(id -un) $(hostname)")
		if out, err := exec.CommandContext(t.Context(), args[0], args[1:]...).Output(); err != nil || strings.TrimSpace(string(out)) != as[name] {
			t.Errorf("ssh %s: %q, %v; want %q", name, out, err, as[name])
		}
	}
}

// whoAmI asks a host for the account and its name.
func whoAmI(t *testing.T, d *link.Dialer, target link.Target) string {
	t.Helper()
	conn, err := d.Dial(t.Context(), target)
	if err != nil {
		return err.Error()
	}
	defer conn.Close()
	stream, err := conn.Open(t.Context(), "echo $(id -un) $(hostname)")
	if err != nil {
		return err.Error()
	}
	defer stream.Close()
	out, err := io.ReadAll(stream)
	if err != nil {
		return err.Error()
	}
	return strings.TrimSpace(string(out))
}
