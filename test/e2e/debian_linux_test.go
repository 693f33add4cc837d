package e2e

import (
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"reconciler.dev/reconciler/internal/freeport"
	"reconciler.dev/reconciler/test/labhost"
)

// packaged is a daemon as Debian packages it.
type packaged struct {
	program, pkg, account string
	// spec is its spec in YAML, but for the binary and the account. Its version is 1, 2 (which differs in what serves finds) or "bad".
	spec func(d *deployed, version string) string
	// serves returns an error unless the daemon answers as the version does.
	serves func(d *deployed, version string) error
	// reloads says that version 2 needs no new process.
	reloads bool
	// code is what an apply of the bad version exits with.
	code int
	// complaint is what it says of it: the last lines of the daemon's log, where there are any.
	complaint string
}

// deployed is one of them on a machine.
type deployed struct {
	*machine
	packaged
	name string // the daemon's
	addr string
	port int
}

func redis() packaged {
	return packaged{
		program: "redis-server", pkg: "redis-server", account: "redis",
		spec: func(d *deployed, version string) string {
			limit := map[string]string{"1": "64mb", "2": "128mb", "bad": "plenty"}[version]
			return fmt.Sprintf(`  args: [%[1]s]
  health: {exec: [%[2]s, -h, 127.0.0.1, -p, "%[3]d", ping], interval: 200ms}
  files:
    - path: %[1]s
      content: |
        bind 127.0.0.1
        port %[3]d
        save ""
        dir /
        maxmemory %[4]s
`, d.path("redis.conf"), find(d.t, "redis-cli", "redis-tools"), d.port, limit)
		},
		serves: func(d *deployed, version string) error {
			return d.answers("CONFIG GET maxmemory\r\n", map[string]string{"1": "67108864", "2": "134217728"}[version])
		},
		code:      1,
		complaint: "FATAL CONFIG FILE ERROR",
	}
}

func nginx() packaged {
	return packaged{
		program: "nginx", pkg: "nginx-light",
		spec: func(d *deployed, version string) string {
			health := "200"
			if version == "bad" {
				health = "503"
			}
			// The old workers may answer for an instant after a reload, so one good answer is not enough to believe the new config.
			return fmt.Sprintf(`  args: [-e, stderr, -c, %[1]s/nginx.conf, -g, daemon off;]
  health: {url: "http://%[2]s/healthz", interval: 100ms, successThreshold: 5, startPeriod: 0s}
  stop: {signal: SIGQUIT, gracePeriod: 5s}
  reload: {signal: SIGHUP}
  files:
    - path: %[1]s/nginx.conf
      content: |
        pid %[1]s/nginx.pid;
        worker_processes 2;
        events {}
        http {
          access_log off;
          client_body_temp_path %[1]s/nginx-body;
          proxy_temp_path %[1]s/nginx-proxy;
          fastcgi_temp_path %[1]s/nginx-fastcgi;
          uwsgi_temp_path %[1]s/nginx-uwsgi;
          scgi_temp_path %[1]s/nginx-scgi;
          server {
            listen %[2]s;
            location = /healthz { return %[3]s; }
            location / { return 200 "version %[4]s\n"; }
          }
        }
`, d.dir, d.addr, health, version)
		},
		serves: func(d *deployed, version string) error {
			body, err := fetch(http.MethodGet, "http://"+d.addr+"/")
			if err == nil && body != "version "+version+"\n" {
				err = fmt.Errorf("it serves %q", body)
			}
			return err
		},
		reloads:   true,
		code:      3,
		complaint: "nothing shows that it did: GET http://",
	}
}

func memcached() packaged {
	return packaged{
		program: "memcached", pkg: "memcached", account: "memcache",
		spec: func(d *deployed, version string) string {
			size := map[string]string{"1": "64", "2": "128", "bad": "128, --no-such-option"}[version]
			return fmt.Sprintf("  args: [--listen=127.0.0.1, --port=%d, --memory-limit=%s]\n  health: {tcp: \"%s\", interval: 200ms}\n", d.port, size, d.addr)
		},
		serves: func(d *deployed, version string) error {
			return d.answers("stats\r\n", "STAT limit_maxbytes "+map[string]string{"1": "67108864", "2": "134217728"}[version]+"\r\n")
		},
		code:      1,
		complaint: "no-such-option",
	}
}

// find returns the path of a program, or fails the test with the package that has it.
func find(t testing.TB, program, pkg string) string {
	t.Helper()
	for _, name := range []string{filepath.Join(hostDebian, program), program, "/usr/sbin/" + program} {
		if path, err := exec.LookPath(name); err == nil {
			return path
		}
	}
	t.Fatalf("this test keeps a real %s alive, and there is none here: install Debian's package %s, or let hack/deps.sh do it", program, pkg)
	return ""
}

// hostDebian is where a host that isn't like this machine has Debian's daemons, and what they are linked with.
const hostDebian = "/lab/debian"

// debianFor copies Debian's daemons for a host that has none, with the libraries that it may not have.
func debianFor(t *testing.T) labhost.Bind {
	t.Helper()
	if _, err := os.Stat(hostDebian); err == nil {
		return labhost.Bind{} // this is that host
	}
	dir := t.TempDir()
	if err := os.Chmod(dir, 0o755); err != nil {
		t.Fatal(err)
	}
	needs := []string{}
	for program, pkg := range map[string]string{"redis-server": "redis-server", "redis-cli": "redis-tools", "nginx": "nginx-light", "memcached": "memcached"} {
		path := find(t, program, pkg)
		needs = append(needs, path)
		libraries, err := exec.Command("ldd", path).Output()
		if err != nil {
			t.Fatalf("ldd %s: %v", path, err)
		}
		for line := range strings.Lines(string(libraries)) {
			if f := strings.Fields(line); len(f) > 2 && !strings.HasPrefix(f[0], "libc.") && !strings.HasPrefix(f[0], "libm.") { // which a host has, with the loader
				needs = append(needs, f[2])
			}
		}
	}
	slices.Sort(needs)
	for _, path := range slices.Compact(needs) {
		text, err := os.ReadFile(path)
		if err == nil {
			err = os.WriteFile(filepath.Join(dir, filepath.Base(path)), text, 0o755)
		}
		if err != nil {
			t.Fatal(err)
		}
	}
	return labhost.Bind{From: dir, To: hostDebian}
}

// deploy makes a machine for a daemon; nothing is applied yet.
func (p packaged) deploy(t testing.TB, drivers string) *deployed {
	d := &deployed{machine: newMachine(t), packaged: p, port: freeport.Port(t)}
	if d.drivers = drivers; drivers == "systemd" {
		d.amongOthers()
	}
	d.name = p.program + d.suffix
	d.addr = fmt.Sprintf("127.0.0.1:%d", d.port)
	return d
}

// manifest declares a version. As root the daemon has Debian's account for it.
func (d *deployed) manifest(version string) string {
	d.t.Helper()
	spec := d.spec(d, version)
	switch d.drivers {
	case "cgroup":
		spec += fmt.Sprintf("  cgroup: {slice: real%d.slice}\n", d.port) // a part of the tree for this machine alone
	case "systemd":
		spec += fmt.Sprintf("  env: {LD_LIBRARY_PATH: %s}\n  rlimits: {rss: \"%d:infinity\"}\n", hostDebian, d.mark) // the service manager starts it, and no process with the mark
	}
	switch {
	case d.account == "":
	case d.drivers == "systemd":
		spec += "  user: nobody\n" // that host has none of Debian's accounts for daemons
	case os.Geteuid() == 0:
		spec += "  user: " + d.account + "\n"
	default:
		d.t.Logf("not shown here, because it needs root: %s under Debian's account %s", d.program, d.account)
	}
	return d.write("manifests/"+d.program+".yaml", fmt.Sprintf("apiVersion: reconciler.dev/v1\nkind: DaemonSpec\nmetadata: {name: %s}\nspec:\n  binary: %s\n%s",
		d.name, find(d.t, d.program, d.pkg), spec))
}

// answers returns an error unless the daemon answers a question over TCP with something that has want in it.
func (d *deployed) answers(question, want string) error {
	conn, err := net.DialTimeout("tcp", d.addr, time.Second)
	if err != nil {
		return err
	}
	defer conn.Close()
	if err := conn.SetDeadline(time.Now().Add(time.Second)); err != nil {
		return err
	}
	if _, err := io.WriteString(conn, question); err != nil {
		return err
	}
	var got []byte
	buf := make([]byte, 4096)
	for !strings.Contains(string(got), want) {
		n, err := conn.Read(buf)
		if got = append(got, buf[:n]...); err != nil {
			return fmt.Errorf("%w; it answered %q", err, got)
		}
	}
	return nil
}

// servesSoon waits until the daemon serves a version.
func (d *deployed) servesSoon(version string) {
	d.t.Helper()
	d.settles(func() string {
		if err := d.serves(d, version); err != nil {
			return fmt.Sprintf("%s serves version %s: %v", d.program, version, err)
		}
		return ""
	})
}

// pid is the main process that get tells of; it has to live.
func (d *deployed) pid() int {
	d.t.Helper()
	s := d.get(d.name)
	if s.Status.Phase != "Running" || !d.mark.on(s.Status.PID) {
		d.t.Fatalf("%s is %s with process %d", d.program, s.Status.Phase, s.Status.PID)
	}
	return s.Status.PID
}

// kill ends the main process behind reconciler's back.
func (d *deployed) kill() int {
	d.t.Helper()
	pid := d.pid()
	if err := d.mark.kill(pid); err != nil {
		d.t.Fatal(err)
	}
	return pid
}

// delete deletes the daemon, after which nothing of it may be alive.
func (d *deployed) delete() {
	d.t.Helper()
	d.ok("delete", d.name).printed("daemon/" + d.name + " deleted")
	for _, p := range d.mark.alive(d.t) {
		d.t.Errorf("it was deleted, and this lives: %v", p)
	}
	if err := d.serves(d, "1"); err == nil {
		d.t.Error("it was deleted and still serves")
	}
}

// heals kills the daemon while a run keeps it, and waits until it serves again.
func (d *deployed) heals(version string) {
	d.t.Helper()
	run := d.keep("-f", d.path("manifests"))
	d.eventually("the run has looked at it", func() bool { return d.get(d.name).Status.Holder != "" })
	old := d.kill()
	d.eventually("a run has started it again", func() bool {
		s := d.get(d.name)
		return s.Status.Phase == "Running" && s.Status.PID != old && s.is("Ready") == "True"
	})
	d.servesSoon(version)
	run.said("killed by SIGKILL")
	run.interrupt()
}

// TestRealDaemons keeps Debian's daemons, in the foreground and as they are by default, in the background: started at once, what serves then is a process that was never told of
// to anybody. Under systemd that has to be said, with type: forking.
func TestRealDaemons(t *testing.T) {
	t.Parallel()
	realDaemons(t, "process")
}

// TestRealDaemonsOnHosts does so under the other drivers.
func TestRealDaemonsOnHosts(t *testing.T) {
	t.Parallel()
	t.Run("cgroup", func(t *testing.T) {
		t.Parallel()
		onHost(t, labhost.Cgroup, func(t *testing.T) { realDaemons(t, "cgroup") })
	})
	t.Run("systemd", func(t *testing.T) {
		t.Parallel()
		onHost(t, labhost.Systemd, func(t *testing.T) { realDaemons(t, "systemd") }, debianFor(t))
	})
}

func realDaemons(t *testing.T, drivers string) {
	inBackground := func(p packaged, old, new string) packaged {
		spec := p.spec
		p.spec = func(d *deployed, version string) string {
			return strings.Replace(spec(d, version), old, new, 1) + "  type: forking\n"
		}
		return p
	}
	for _, p := range []packaged{redis(), nginx(), memcached()} {
		t.Run(p.program, func(t *testing.T) {
			t.Parallel()
			p.lives(t, drivers)
		})
	}
	for _, p := range []packaged{
		inBackground(redis(), "save \"\"\n", "save \"\"\n        daemonize yes\n"),
		inBackground(nginx(), "daemon off;", "daemon on;"),
		inBackground(memcached(), "args: [", "args: [-d, "),
	} {
		t.Run(p.program+" in the background", func(t *testing.T) {
			t.Parallel()
			p.livesInTheBackground(t, drivers)
		})
	}
}

// lives walks through a daemon's life in the foreground: it is started, healed, changed, changed for the worse and put back, and deleted.
func (p packaged) lives(t *testing.T, drivers string) {
	d := p.deploy(t, drivers)
	d.ok("apply", "--wait", "-f", d.manifest("1")).printed("daemon/" + d.name + " created")
	d.servesSoon("1")
	d.heals("1")

	before := d.pid()
	d.ok("apply", "--wait", "-f", d.manifest("2")).printed("daemon/" + d.name + " configured")
	d.servesSoon("2")
	if kept := d.pid() == before; kept != p.reloads {
		t.Errorf("the change kept the process: %v, want %v", kept, p.reloads)
	}

	timeout := "1m"
	if p.reloads {
		timeout = "10s" // all of it passes until a reload has shown nothing
	}
	bad := d.exits(p.code, "apply", "--wait", "--timeout="+timeout, "-f", d.manifest("bad"))
	bad.said("daemon/"+d.name+" rolled back", p.complaint, "generation 2 ", " is Ready")
	d.servesSoon("2")
	d.ok("rollout", "history", d.name)
	d.exits(1, "diff", "-f", d.path("manifests"))
	d.manifest("2")
	d.ok("apply", "-f", d.path("manifests")).printed("daemon/" + d.name + " unchanged")
	d.delete()
}

// livesInTheBackground does so for one that puts itself into the background.
func (p packaged) livesInTheBackground(t *testing.T, drivers string) {
	d := p.deploy(t, drivers)
	d.ok("apply", "--wait", "-f", d.manifest("1"))
	d.servesSoon("1")
	pid := d.pid()
	d.ok("apply", "-f", d.path("manifests")).printed("daemon/" + d.name + " unchanged")
	d.heals("1")
	if now := d.pid(); now == pid {
		t.Errorf("process %d was killed and is told of", pid)
	}
	d.ok("apply", "--wait", "-f", d.manifest("2"))
	d.servesSoon("2")
	d.ok("restart", d.name, "--wait")
	d.servesSoon("2")
	d.ok("stop", d.name)
	if left := d.mark.alive(t); len(left) > 0 {
		t.Errorf("it was stopped, and these live: %v", left)
	}
	d.ok("start", d.name, "--wait")
	d.servesSoon("2")
	d.delete()
}
