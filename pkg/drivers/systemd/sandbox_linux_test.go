package systemd

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"golang.org/x/sys/unix"

	"reconciler.dev/reconciler/internal/testprog"
	"reconciler.dev/reconciler/pkg/spec"
)

// status returns lines of /proc/PID/status, by name.
func status(t *testing.T, pid int, names ...string) string {
	t.Helper()
	text, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", pid))
	if err != nil {
		t.Fatal(err)
	}
	var found []string
	for line := range strings.Lines(string(text)) {
		if name, value, _ := strings.Cut(strings.TrimSpace(line), ":\t"); slices.Contains(names, name) {
			found = append(found, name+"="+value)
		}
	}
	return strings.Join(found, " ")
}

// What a sandbox takes away is gone: the kernel says so.
func TestSandbox(t *testing.T) {
	onAll(t, func(b *bare) {
		b.sub("rights", func(t *testing.T, b *bare) {
			all := strings.TrimPrefix(status(t, os.Getpid(), "CapBnd"), "CapBnd=") // what this host has
			for _, dir := range []string{b.dir, filepath.Dir(b.dir)} {
				if err := os.Chmod(dir, 0o777); err != nil {
					t.Fatal(err)
				}
			}
			for i, tt := range []struct {
				name, user string
				sandbox    spec.Sandbox
				want       string // of root's manager
			}{
				{"none of it", "root", spec.Sandbox{}, "CapPrm=ALL CapEff=ALL CapBnd=ALL CapAmb=0000000000000000 NoNewPrivs=0"},
				{"no new privileges", "root", spec.Sandbox{NoNewPrivileges: true}, "CapPrm=ALL CapEff=ALL CapBnd=ALL CapAmb=0000000000000000 NoNewPrivs=1"},
				{"one of root's capabilities", "root", spec.Sandbox{Capabilities: []string{"CAP_NET_BIND_SERVICE"}}, "CapPrm=0000000000000400 CapEff=0000000000000400 CapBnd=0000000000000400 CapAmb=0000000000000000 NoNewPrivs=0"},
				{"none of them", "root", spec.Sandbox{Capabilities: []string{spec.NoCapabilities}}, "CapPrm=0000000000000000 CapEff=0000000000000000 CapBnd=0000000000000000 CapAmb=0000000000000000 NoNewPrivs=0"},
				{"one for a user", "daemon", spec.Sandbox{Capabilities: []string{"CAP_NET_BIND_SERVICE"}}, "CapPrm=0000000000000400 CapEff=0000000000000400 CapBnd=0000000000000400 CapAmb=0000000000000400 NoNewPrivs=0"},
				{"all there are", "daemon", spec.Sandbox{Capabilities: spec.CapabilityNames()}, "CapPrm=ALL CapEff=ALL CapBnd=ALL CapAmb=ALL NoNewPrivs=0"},
			} {
				d := b.daemon(fmt.Sprintf("rights%d", i))
				d.Spec.Sandbox = &tt.sandbox
				if !b.facts.User {
					d.Spec.User = tt.user
				} else if tt.want = "NoNewPrivs=0"; tt.sandbox.NoNewPrivileges {
					tt.want = "NoNewPrivs=1"
				}
				names := []string{"CapPrm", "CapEff", "CapBnd", "CapAmb", "NoNewPrivs"}
				if b.facts.User {
					names = names[4:]
				}
				if got, want := status(t, b.start(d).PID, names...), strings.ReplaceAll(tt.want, "ALL", all); got != want {
					t.Errorf("%s: %s, want %s", tt.name, got, want)
				}
			}
		})
		if b.facts.User {
			return
		}
		b.sub("files", func(t *testing.T, b *bare) {
			if err := os.MkdirAll("/home/somebody", 0o755); err != nil {
				t.Fatal(err)
			}
			for i, tt := range []struct {
				sandbox spec.Sandbox
				want    string
			}{
				{spec.Sandbox{}, "/usr /etc /var /home/somebody"},
				{spec.Sandbox{ProtectSystem: "yes"}, "/etc /var /home/somebody"},
				{spec.Sandbox{ProtectSystem: "full"}, "/var /home/somebody"},
				{spec.Sandbox{ProtectSystem: "strict"}, "/home/somebody"}, // protectHome's business,
				{spec.Sandbox{ProtectSystem: "strict", ReadWritePaths: []string{"/var"}}, "/var /home/somebody"},
				{spec.Sandbox{ProtectHome: "read-only"}, "/usr /etc /var"},
				{spec.Sandbox{ProtectHome: "tmpfs"}, "/usr /etc /var"},
				{spec.Sandbox{ProtectHome: "yes"}, "/usr /etc /var"},
			} {
				d := b.daemon(fmt.Sprintf("files%d", i))
				report := filepath.Join(b.dir, d.Name+".report")
				tt.sandbox.ReadWritePaths = append(tt.sandbox.ReadWritePaths, b.dir)
				d.Spec.Sandbox = &tt.sandbox
				pid := b.start(d).PID
				var writable []string
				for _, dir := range []string{"/usr", "/etc", "/var", "/home/somebody"} {
					// as the daemon sees it, through its root
					err := exec.Command("nsenter", "--mount", "--target", fmt.Sprint(pid), "test", "-w", dir).Run()
					if err == nil {
						writable = append(writable, dir)
					}
				}
				if got := strings.Join(writable, " "); got != tt.want {
					t.Errorf("%+v: %s can be written to, want %s; report %s", tt.sandbox, got, tt.want, report)
				}
			}
		})
		b.sub("a /tmp of its own, and odd paths that stay writable", func(t *testing.T, b *bare) {
			base, err := os.MkdirTemp("/var", "odd")
			if err != nil {
				t.Fatal(err)
			}
			t.Cleanup(func() { os.RemoveAll(base) })
			d := b.daemon("odd")
			d.Spec.Sandbox = &spec.Sandbox{ProtectSystem: "strict", PrivateTmp: true}
			for _, name := range testprog.HostileNames() {
				dir := base + "/" + name
				if !plain(dir) {
					continue
				}
				if err := os.Mkdir(dir, 0o755); err != nil && !os.IsExist(err) {
					t.Fatal(err)
				}
				d.Spec.Sandbox.ReadWritePaths = append(d.Spec.Sandbox.ReadWritePaths, dir)
			}
			report := d.Spec.Sandbox.ReadWritePaths[0] + "/report"
			d.Spec.Args = testprog.Stay(report).Args()
			u := b.install(d)
			b.systemctl("start", u.Name)
			t.Cleanup(func() { b.systemctl("stop", u.Name) })
			pid := strings.TrimPrefix(b.show(u.Name, "MainPID"), "MainPID=")
			for _, dir := range d.Spec.Sandbox.ReadWritePaths {
				if err := exec.Command("nsenter", "--mount", "--target", pid, "test", "-w", dir).Run(); err != nil {
					t.Errorf("%q can't be written to", dir)
				}
			}
			if err := exec.Command("nsenter", "--mount", "--target", pid, "test", "-e", b.dir).Run(); err == nil {
				t.Errorf("it sees %s, which is in our /tmp", b.dir)
			}
		})
	})
}

// Process limits, signals and everything else are understood: systemd says nothing against any unit.
func TestSystemdUnderstandsAllOfIt(t *testing.T) {
	onAll(t, func(b *bare) {
		b.sub("process limits", func(t *testing.T, b *bare) {
			d := b.daemon("limits")
			d.Spec.Rlimits = map[string]spec.Rlimit{}
			for i, name := range spec.RlimitNames() {
				d.Spec.Rlimits[name] = spec.Rlimit{Soft: uint64(8 + i), Hard: uint64(9 + i)}
			}
			for _, name := range []string{"as", "data", "stack", "fsize", "memlock", "rss"} {
				d.Spec.Rlimits[name] = spec.Rlimit{Soft: 1 << 40, Hard: 1 << 41}
			}
			d.Spec.Rlimits["memlock"] = spec.Rlimit{Soft: 1 << 12, Hard: 1 << 13}
			d.Spec.Rlimits["nproc"] = spec.Rlimit{Soft: 1000, Hard: 1001}
			d.Spec.Rlimits["nofile"] = spec.Rlimit{Soft: 128, Hard: 128} // Go programs raise the soft one
			d.Spec.Rlimits["nice"] = spec.Rlimit{Soft: 0, Hard: 0}
			d.Spec.Rlimits["rtprio"] = spec.Rlimit{Soft: 0, Hard: 0}
			d.Spec.Rlimits["core"] = spec.Rlimit{Soft: 0, Hard: spec.NoRlimit}
			d.Spec.Rlimits["rttime"] = spec.Rlimit{Soft: 1_000_001, Hard: spec.NoRlimit}
			d.Spec.Rlimits["cpu"] = spec.Rlimit{Soft: 3600, Hard: spec.NoRlimit}
			pid := b.start(d).PID
			for name, want := range d.Spec.Rlimits {
				var got unix.Rlimit
				if err := unix.Prlimit(pid, resource(name), nil, &got); err != nil {
					t.Fatal(err)
				}
				if got.Cur != want.Soft || got.Max != want.Hard {
					t.Errorf("%s is %d:%d, want %v", name, got.Cur, got.Max, want)
				}
			}
		})
		b.sub("signals", func(t *testing.T, b *bare) {
			for _, name := range signalNames() {
				d := b.daemon("by-" + strings.ToLower(name))
				d.Spec.Stop.Signal = spec.Signal(name)
				u := b.install(d)
				if got, want := b.show(u.Name, "KillSignal"), fmt.Sprintf("KillSignal=%d", unix.SignalNum(name)); got != want {
					t.Errorf("%s: %s, want %s", name, got, want)
				}
			}
		})
		b.sub("manifests", func(t *testing.T, b *bare) {
			manifests, err := filepath.Glob("testdata/*.yaml")
			if err != nil || len(manifests) == 0 {
				t.Fatal(manifests, err)
			}
			for _, file := range manifests {
				text, err := os.ReadFile(file)
				if err != nil {
					t.Fatal(err)
				}
				d := daemonOf(t, string(text))
				f := factsOf(b.facts.Version, b.facts.User)
				f.Tool = b.facts.Tool
				if executable(d.Spec.Binary) {
					d.Spec.Binary = os.Getenv("RECONCILER_TESTPROG")
				}
				u, err := Render(d, stampOf1(d), f)
				if err != nil {
					t.Fatal(err)
				}
				unit := filepath.Join(b.dir, u.Name)
				if err := os.WriteFile(unit, u.Text, 0o644); err != nil {
					t.Fatal(err)
				}
				args := []string{"verify", "--man=no", unit}
				if b.facts.User {
					args = append([]string{"--user"}, args...)
				}
				if out, err := exec.Command("systemd-analyze", args...).CombinedOutput(); err != nil || len(out) > 0 {
					t.Errorf("%s: %v\n%s", file, err, out)
				}
			}
		})
	})
}

func resource(name string) int {
	return map[string]int{
		"as": unix.RLIMIT_AS, "core": unix.RLIMIT_CORE, "cpu": unix.RLIMIT_CPU, "data": unix.RLIMIT_DATA, "fsize": unix.RLIMIT_FSIZE, "memlock": unix.RLIMIT_MEMLOCK,
		"msgqueue": unix.RLIMIT_MSGQUEUE, "nice": unix.RLIMIT_NICE, "nofile": unix.RLIMIT_NOFILE, "nproc": unix.RLIMIT_NPROC, "rss": unix.RLIMIT_RSS,
		"rtprio": unix.RLIMIT_RTPRIO, "rttime": unix.RLIMIT_RTTIME, "sigpending": unix.RLIMIT_SIGPENDING, "stack": unix.RLIMIT_STACK,
	}[name]
}

// signalNames are the signals that a manifest may name.
func signalNames() (names []string) {
	for n := 1; n < 32; n++ {
		name := unix.SignalName(unix.Signal(n))
		var s spec.Signal
		if s.UnmarshalText([]byte(name)) == nil {
			names = append(names, name)
		}
	}
	return names
}
