package remote

import (
	"bytes"
	"context"
	"crypto/sha256"
	"fmt"
	"math/rand/v2"
	"net"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"

	"reconciler.dev/reconciler/test/labhost"
	"reconciler.dev/reconciler/test/simhost"
)

// TestPrograms is how programs come to a host over SSH, through sshd, and what becomes of what runs there when they can't.
func TestPrograms(t *testing.T) {
	s := newSite(t, 1, labhost.Systemd, nil, labhost.Bind{From: reconciler(t), To: agentAt})
	host := s.hosts[0]
	for _, tt := range []struct {
		name string
		test func(*testing.T, *office, *labhost.Host)
	}{
		{"a program is sent once", testSentOnce},
		{"a transfer that is cut off goes on", testCutTransfers},
		{"a plan says what is yet to be built", testPlanOfABuild},
		{"what can't be installed leaves the old one running", testBadPrograms},
		{"what somebody puts in its place is seen", testReplacedProgram},
	} {
		t.Run(tt.name, func(t *testing.T) { tt.test(t, s.newOffice(t), host) })
	}
}

// testReplacedProgram has somebody on the host replace what a daemon runs, while the next resync is ten minutes away; and once so slowly that half of it stands there for seconds.
func testReplacedProgram(t *testing.T, o *office, h *labhost.Host) {
	d := o.daemon(h, "replaced", "systemd")
	d.to = "/opt/" + d.name
	place := func(script string) {
		t.Helper()
		script = strings.NewReplacer("WITNESS", witnessAt, "PROGRAM", d.to).Replace("set -e; mkdir -p /opt; " + script)
		if out, err := h.Command(t.Context(), "sh", "-c", script).CombinedOutput(); err != nil {
			t.Fatalf("%s: %v: %s", script, err, out)
		}
	}
	place("cp WITNESS PROGRAM")
	d.declare()
	o.keep()
	pid := d.becomes(0)
	place("cp WITNESS new; echo two >> new; mv new PROGRAM")
	pid = d.becomes(pid)
	place("rm PROGRAM; umask 0; (head -c 1000000 WITNESS; sleep 2; tail -c +1000001 WITNESS; echo three) > PROGRAM; sleep 1; chmod +x PROGRAM")
	d.becomes(pid)
	d.isOnce(3)
	sums, err := h.Command(t.Context(), "sha256sum", d.to, fmt.Sprintf("/proc/%d/exe", d.copies()[0].PID)).Output()
	if fields := strings.Fields(string(sums)); err != nil || len(fields) != 4 || fields[0] != fields[2] {
		t.Errorf("it doesn't run what stands there: %s, %v", sums, err)
	}
}

// tenMB is the size of the programs here.
const tenMB = 10_000_000

// makes gives a daemon a program of its own, that no other number gives, of ten megabytes.
func (d *daemon) makes(number uint64) *daemon {
	d.o.t.Helper()
	program, err := os.ReadFile(witness(d.o.t))
	if err != nil {
		d.o.t.Fatal(err)
	}
	more := make([]byte, tenMB-len(program))
	_, _ = rand.NewChaCha8([32]byte{byte(number)}).Read(more)
	d.installs(append(program, more...))
	return d
}

// installs declares it with a program.
func (d *daemon) installs(program []byte) {
	d.o.t.Helper()
	d.from, d.to = filepath.Join(d.o.dir, d.name), "/opt/"+d.name
	if err := os.WriteFile(d.from, program, 0o755); err != nil {
		d.o.t.Fatal(err)
	}
	d.declare()
}

// runsWhatIsDeclared checks that its only process, and its place, have the program that is declared.
func (d *daemon) runsWhatIsDeclared() {
	d.o.t.Helper()
	want, err := os.ReadFile(d.from)
	if err != nil {
		d.o.t.Fatal(err)
	}
	copies := d.copies()
	if len(copies) != 1 {
		d.o.t.Fatalf("these live of %s: %v", d.name, copies)
	}
	sums, err := d.host.Command(d.o.t.Context(), "sha256sum", d.to, fmt.Sprintf("/proc/%d/exe", copies[0].PID)).Output()
	if digest := fmt.Sprintf("%x", sha256.Sum256(want)); err != nil || strings.Count(string(sums), digest) != 2 {
		d.o.t.Errorf("%s doesn't run %s: %s, %v", d.name, digest, sums, err)
	}
}

// received is how many bytes ever came to a host.
func received(t *testing.T, h *labhost.Host) (n int) {
	t.Helper()
	text, err := h.Command(t.Context(), "cat", "/proc/net/dev").Output()
	if err != nil {
		t.Fatal(err)
	}
	for line := range strings.Lines(string(text)) {
		name, rest, ok := strings.Cut(line, ":")
		if fields := strings.Fields(rest); ok && strings.TrimSpace(name) != "lo" {
			bytes, err := strconv.Atoi(fields[0])
			if err != nil {
				t.Fatal(err)
			}
			n += bytes
		}
	}
	return n
}

// little is what an apply sends without a program, at most: the login, the greeting, the looks and the steps.
const little = 500_000

// testSentOnce installs one program for three daemons, of which two share their driver: it travels with the first.
func testSentOnce(t *testing.T, o *office, h *labhost.Host) {
	o.ok("get", "--host", h.Name) // the agent's program is there
	first := o.daemon(h, "first", "systemd").makes(1)
	before := received(t, h)
	o.ok("apply", "--wait", "-f", o.manifests())
	if sent := received(t, h) - before; sent < tenMB || sent > tenMB*11/10+little {
		t.Errorf("%d bytes were sent for a program of %d", sent, tenMB)
	}
	first.runsWhatIsDeclared()
	second, third := o.daemon(h, "second", "systemd").makes(1), o.daemon(h, "third", "process").makes(1)
	before = received(t, h)
	o.ok("apply", "--wait", "-f", o.manifests())
	if sent := received(t, h) - before; sent > little {
		t.Errorf("%d bytes were sent for a program that the host has", sent)
	}
	second.runsWhatIsDeclared()
	third.runsWhatIsDeclared()
	o.ok("diff", "-f", o.manifests())
}

// onTheWay is how much of what was sent may not have arrived when the link is cut: what the link, its pipes and the agent hold.
const onTheWay = 1_500_000

// testCutTransfers cuts the link at every tenth of a transfer. What has the program's name is whole, what ran goes on meanwhile, and the next apply sends the rest.
func testCutTransfers(t *testing.T, o *office, h *labhost.Host) {
	l, err := h.Listen(t.Context(), "tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	way := simhost.StartProxyOn(t, l, func(ctx context.Context) (net.Conn, error) { return h.Dial(ctx, "tcp", net.JoinHostPort(h.Addr, "22")) })
	if err := o.home.Configure("Host cut-link", "  HostName 127.0.0.1", fmt.Sprintf("  Port %d", way.Port()), "  HostKeyAlias "+h.Name, "  User root"); err != nil {
		t.Fatal(err)
	}
	d := o.daemon(h, "cut", "systemd")
	d.at = "cut-link"
	defer func() { d.at = h.Name }() // it is deleted when the way there is gone
	d.makes(10)
	o.ok("apply", "--wait", "-f", o.manifests())
	for tenth := int64(1); tenth < 10; tenth++ {
		before := d.copies()
		d.makes(10 + uint64(tenth))
		way.CutAfter(tenMB * tenth / 10)
		if p := o.run("apply", "--wait", "-f", o.manifests()); p.cmd.ProcessState.ExitCode() == 0 {
			t.Fatalf("at %d tenths: the link was cut, and all went well:\n%v", tenth, p)
		}
		if now := d.copies(); len(now) != 1 || now[0].PID != before[0].PID {
			t.Errorf("at %d tenths: %v lived, and now %v", tenth, before, now)
		}
		eventually(t, "the agent of the link that was cut is gone", func() bool { return len(processes(o, h, isAgent)) == 0 })
		arrived := partial(h)
		if least := tenMB*tenth/10 - onTheWay; arrived < least {
			t.Errorf("at %d tenths: %d bytes are kept of what was sent, want at least %d", tenth, arrived, least)
		}
		before0 := received(t, h)
		o.ok("apply", "--wait", "-f", o.manifests())
		if sent := int64(received(t, h) - before0); sent > (tenMB-arrived)*11/10+little {
			t.Errorf("at %d tenths: %d bytes were there, and %d were sent after it", tenth, arrived, sent)
		}
		d.runsWhatIsDeclared()
	}
}

// partial is how much a host has of a program that hasn't arrived yet.
func partial(h *labhost.Host) (have int64) {
	_ = h.Files(func(r *os.Root) error {
		dir, err := r.Open("var/lib/reconciler/bin/partial")
		if err != nil {
			return err
		}
		defer dir.Close()
		entries, err := dir.ReadDir(-1)
		for _, e := range entries {
			if info, err := e.Info(); err == nil {
				have = info.Size()
			}
		}
		return err
	})
	return have
}

// testPlanOfABuild is a diff of a daemon whose program nobody has built: neither it nor its path is known yet, and nothing is built, sent or refused. The apply does all of it.
func testPlanOfABuild(t *testing.T, o *office, h *labhost.Host) {
	for _, driver := range []string{"systemd", "process"} {
		d := o.daemon(h, "built-"+driver, driver)
		text := fmt.Sprintf("apiVersion: reconciler.dev/v1\nkind: DaemonSpec\nmetadata: {name: %[1]s}\nspec:\n  host: %[2]s\n  driver: %[3]s\n"+
			"  build: {command: [cp, %[4]s, %[1]s.out], dir: %[5]s, inputs: [%[1]s.in], output: %[1]s.out}\n  args: ['-name=%[1]s', '-dir=%[6]s']\n  stop: {gracePeriod: 5s}\n",
			d.name, h.Name, driver, witness(t), o.dir, testifies)
		if err := os.WriteFile(filepath.Join(o.dir, d.name+".in"), nil, 0o644); err != nil {
			t.Fatal(err)
		}
		o.write(d.file(), text)
	}
	if err := h.Put(testifies+"/readme", nil, 0o644); err != nil {
		t.Fatal(err)
	}
	before := received(t, h)
	o.exits(1, "diff", "-f", o.manifests())
	o.ok("apply", "--dry-run=server", "-f", o.manifests())
	if sent := received(t, h) - before; sent > little {
		t.Errorf("%d bytes were sent for a plan", sent)
	}
	o.ok("apply", "--wait", "-f", o.manifests())
	o.ok("diff", "-f", o.manifests())
}

// testBadPrograms declares programs that can't be installed: each is said in words, and what runs isn't touched.
func testBadPrograms(t *testing.T, o *office, h *labhost.Host) {
	d := o.daemon(h, "good", "systemd").makes(30)
	o.ok("apply", "--wait", "-f", o.manifests())
	good, err := os.ReadFile(d.from)
	if err != nil {
		t.Fatal(err)
	}
	before := d.copies()
	foreign := bytes.Clone(good)
	foreign[18], foreign[19] = 183, 0 // e_machine: AArch64
	if foreign[4] == good[4] && good[18] == 183 {
		foreign[18] = 62 // x86-64
	}
	for _, bad := range []struct {
		name    string
		program []byte
		full    bool
		says    string
	}{
		{name: "of another architecture", program: foreign, says: "it was built for"},
		{name: "half of it", program: good[:1<<20], says: "cut short"},
		{name: "no program", program: []byte("#!/opt/no/such/interpreter\n"), says: `"/opt/no/such/interpreter" is missing`},
		{name: "no room for it", program: append(slices.Clone(good), 1), full: true, says: "make room there"},
	} {
		d.installs(bad.program)
		if bad.full {
			if err := h.Fill(true); err != nil {
				t.Fatal(err)
			}
		}
		p := o.run("apply", "--wait", "-f", o.manifests())
		if err := h.Fill(false); err != nil {
			t.Fatal(err)
		}
		if p.wait() == 0 || !strings.Contains(p.out.String(), bad.says) || strings.Count(p.out.String(), "\n") > 24 {
			t.Errorf("%s: it isn't refused with %q, on one screen:\n%v", bad.name, bad.says, p)
		}
		if now := d.copies(); len(now) != 1 || now[0].PID != before[0].PID {
			t.Errorf("%s: %v lived, and now %v", bad.name, before, now)
		}
		if place, err := h.Get(d.to); err != nil || !bytes.Equal(place, good) {
			t.Errorf("%s: the old one isn't at its place any more: %d bytes, %v", bad.name, len(place), err)
		}
	}
	d.installs(good)
	o.ok("apply", "-f", o.manifests()).said("daemon/" + d.name + " unchanged")
}
