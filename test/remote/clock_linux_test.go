package remote

import (
	"fmt"
	"strconv"
	"strings"
	"testing"
	"time"

	"golang.org/x/crypto/ssh"

	"reconciler.dev/reconciler/test/labhost"
	"reconciler.dev/reconciler/test/sshlab"
)

// TestClock is a host whose clock is an hour ahead of the administrator's, and is then set to an hour behind while a run keeps its daemons: nothing but people goes by clocks. It is a machine with a
// kernel of its own, at the end of a link that delays each packet (netem).
func TestClock(t *testing.T) {
	home, err := sshlab.NewHome(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	files, enroll, err := home.Server("skewed")
	if err != nil {
		t.Fatal(err)
	}
	files[testifies+"/readme"] = ""
	server := labhost.StartServer(t, labhost.ServerOptions{Clock: time.Hour, Netem: "delay 20ms", Files: files, Binds: []labhost.Bind{{From: witness(t), To: witnessAt}}})
	if err := enroll(server); err != nil {
		t.Fatal(err)
	}
	off := logIn(t, home, server)
	o := (&site{home: home, beside: server.Beside(), emulated: true}).newOffice(t)
	for _, driver := range []string{"process", "systemd"} {
		o.write(driver+".yaml", offManifest(driver, ""))
	}
	o.ok("apply", "--wait", "-f", o.manifests())
	o.ok("apply", "-f", o.manifests()).said("daemon/process unchanged", "daemon/systemd unchanged")
	recent := func() {
		t.Helper()
		for _, driver := range []string{"process", "systemd"} {
			o.ok("logs", "--host=skewed", "--since=10m", driver).said("is up")
		}
		o.ok("events", "--host=skewed", "--since=10m").said("process", "systemd")
	}
	recent()

	run := o.keep()
	run.says("leaves the daemons running")
	starts := func(name string) int {
		return strings.Count(off.run("cat "+testifies+"/"+name+".starts"), "\n")
	}
	heals := func(name string, starting int) {
		t.Helper()
		off.run("pkill -KILL -f name=" + name)
		eventually(t, name+" is started again", func() bool { return starts(name) == starting })
	}
	heals("process", 2)
	off.run(fmt.Sprintf("date -s @%d", time.Now().Add(-time.Hour).Unix()))
	if ahead := off.ahead(); ahead > -59*time.Minute {
		t.Fatalf("its clock is %s ahead", ahead)
	}
	heals("process", 3)
	heals("systemd", 2)
	o.write("process.yaml", offManifest("process", "-exit=-2"))
	eventually(t, "the change is applied", func() bool { return starts("process") == 4 })
	recent()
	run.interrupt()
	o.ok("apply", "--wait", "-f", o.manifests()).said("daemon/process unchanged", "daemon/systemd unchanged")
	for name, want := range map[string]int{"process": 4, "systemd": 2} {
		if n := starts(name); n != want {
			t.Errorf("%s was started %d times, want %d", name, n, want)
		}
		if alive := off.run("pgrep -c -f name=" + name); alive != "1\n" {
			t.Errorf("%s has processes: %s", name, alive)
		}
	}
	if twice := off.run("cat " + testifies + "/*.duplicates 2>/dev/null || true"); twice != "" {
		t.Error(twice)
	}
}

// offManifest declares a daemon that is called as its driver.
func offManifest(driver, more string) string {
	return fmt.Sprintf(`apiVersion: reconciler.dev/v1
kind: DaemonSpec
metadata: {name: %[1]s}
spec:
  host: skewed
  driver: %[1]s
  binary: %[2]s
  args: [-name=%[1]s, -dir=%[3]s%[4]s]
  stop: {gracePeriod: 5s}
`, driver, witnessAt, testifies, strings.TrimSuffix(", "+more, ", "))
}

// login is a plain connection to a host, by which a test looks at it.
type login struct {
	t      *testing.T
	client *ssh.Client
}

func logIn(t *testing.T, home *sshlab.Home, s *labhost.Server) *login {
	t.Helper()
	raw, err := s.Dial(t.Context(), "tcp", s.Addr+":22")
	if err != nil {
		t.Fatal(err)
	}
	conn, chans, reqs, err := ssh.NewClientConn(raw, s.Addr+":22", home.Client("skewed", "root"))
	if err != nil {
		t.Fatal(err)
	}
	l := &login{t, ssh.NewClient(conn, chans, reqs)}
	t.Cleanup(func() { l.client.Close() })
	return l
}

// run runs a command there that has to succeed, and returns what it wrote.
func (l *login) run(command string) string {
	l.t.Helper()
	session, err := l.client.NewSession()
	if err != nil {
		l.t.Fatal(err)
	}
	defer session.Close()
	out, err := session.CombinedOutput(command)
	if err != nil {
		l.t.Fatalf("%s: %v: %s", command, err, out)
	}
	return string(out)
}

// ahead is how far its clock is ahead of this machine's.
func (l *login) ahead() time.Duration {
	l.t.Helper()
	seconds, err := strconv.ParseInt(strings.TrimSpace(l.run("date +%s")), 10, 64)
	if err != nil {
		l.t.Fatal(err)
	}
	return time.Until(time.Unix(seconds, 0))
}
