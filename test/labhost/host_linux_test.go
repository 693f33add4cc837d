package labhost

import (
	"bufio"
	"context"
	"errors"
	"net"
	"os"
	"os/exec"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

// run runs a command and returns what it wrote.
func run(t *testing.T, cmd *exec.Cmd) string {
	t.Helper()
	out, err := cmd.CombinedOutput()
	if err != nil {
		t.Fatalf("%q: %v: %s", cmd.Args, err, out)
	}
	return string(out)
}

func TestCommand(t *testing.T) {
	for _, kind := range []Kind{Systemd, Cgroup, Bare} {
		t.Run(string(kind), func(t *testing.T) {
			t.Parallel()
			h := Start(t, kind)
			hostile := []string{"$HOME", "${HOME}", "$$", "%n", "a b", `"`, `\`, "'", "*", "", "--quiet", "größe\n"}
			got := strings.Split(run(t, h.Command(t.Context(), append([]string{"printf", `%s\0`}, hostile...)...)), "\x00")
			if d := cmp.Diff(append(hostile, ""), got); d != "" {
				t.Errorf("arguments (-sent +arrived):\n%s", d)
			}
			cat := h.Command(t.Context(), "cat")
			cat.Stdin = strings.NewReader("through stdin")
			if out := run(t, cat); out != "through stdin" {
				t.Errorf("cat wrote %q", out)
			}
			var exit *exec.ExitError
			if err := h.Command(t.Context(), "sh", "-c", "exit 7").Run(); !errors.As(err, &exit) || exit.ExitCode() != 7 {
				t.Errorf("exit 7 came out as %v", err)
			}
			if name := run(t, h.Command(t.Context(), "hostname")); name != h.Name+"\n" {
				t.Errorf("the host is called %q", name)
			}
		})
	}
}

func TestAs(t *testing.T) {
	t.Parallel()
	h := Start(t, SystemdUser)
	if out := run(t, h.As(t.Context(), "alice", "sh", "-c", "id -un; echo $XDG_RUNTIME_DIR")); out != "alice\n/run/user/1000\n" {
		t.Errorf("alice is %q", out)
	}
}

func TestFiles(t *testing.T) {
	t.Parallel()
	h := Start(t, Bare)
	if err := h.Put("/etc/new/file", []byte("of the host"), 0o600); err != nil {
		t.Fatal(err)
	}
	if out := run(t, h.Command(t.Context(), "sh", "-c", "cat /etc/new/file; stat -c ' %a' /etc/new/file")); out != "of the host 600\n" {
		t.Errorf("the host sees %q", out)
	}
	if got, err := h.Get("/etc/new/file"); err != nil || string(got) != "of the host" {
		t.Errorf("got %q: %v", got, err)
	}
	if _, err := os.Stat("/etc/new"); err == nil {
		t.Error("it is the machine's file")
	}
	// A link of the host's doesn't lead to the machine's files.
	run(t, h.Command(t.Context(), "ln", "-s", "/proc/1/root/etc/hostname", "/etc/trap"))
	if got, err := h.Get("/etc/trap"); err == nil {
		t.Errorf("read %q", got)
	}
}

// What a boot changes, and what it doesn't.
func TestBoots(t *testing.T) {
	type once struct{ Boot, Machine, Disk, Run string }
	look := func(t *testing.T, h *Host) once {
		t.Helper()
		read := func(path string) string {
			content, err := h.Get(path)
			if err != nil && !errors.Is(err, os.ErrNotExist) {
				t.Fatal(err)
			}
			return strings.TrimSpace(string(content))
		}
		return once{read("/proc/sys/kernel/random/boot_id"), read("/etc/machine-id"), read("/var/kept"), read("/run/lost")}
	}
	for _, tt := range []struct {
		name string
		kind Kind
		boot func(*Host, context.Context) error
	}{
		{"reboot", Systemd, (*Host).Reboot},
		{"power cycle", Systemd, (*Host).PowerCycle},
		{"power cycle without systemd", Cgroup, (*Host).PowerCycle},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			h := Start(t, tt.kind)
			for _, path := range []string{"/var/kept", "/run/lost"} {
				if err := h.Put(path, []byte("before"), 0o644); err != nil {
					t.Fatal(err)
				}
			}
			before := look(t, h)
			if err := tt.boot(h, t.Context()); err != nil {
				t.Fatal(err)
			}
			after := look(t, h)
			if after.Boot == before.Boot || after.Boot == "" {
				t.Errorf("the boot id was %q and is %q", before.Boot, after.Boot)
			}
			after.Boot, before.Run = before.Boot, ""
			if d := cmp.Diff(before, after); d != "" {
				t.Error(d)
			}
			run(t, h.Command(t.Context(), "true"))
		})
	}
	t.Run("reboot without systemd", func(t *testing.T) {
		t.Parallel()
		if err := Start(t, Bare).Reboot(t.Context()); err == nil || !strings.Contains(err.Error(), "use PowerCycle") {
			t.Errorf("got %v", err)
		}
	})
}

// greeting reads what sshd says first.
func greeting(conn net.Conn, patience time.Duration) (string, error) {
	if err := conn.SetReadDeadline(time.Now().Add(patience)); err != nil {
		return "", err
	}
	return bufio.NewReader(conn).ReadString('\n')
}

// A host has its own address, from which sshd answers, unless the host hangs or its cable is out.
func TestNetwork(t *testing.T) {
	t.Parallel()
	h := Start(t, Systemd)
	connect := func(patience time.Duration) (net.Conn, error) {
		ctx, cancel := context.WithTimeout(t.Context(), patience)
		defer cancel()
		return h.Dial(ctx, "tcp", h.Addr+":22")
	}
	mustGreet := func(conn net.Conn, err error) {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
		defer conn.Close()
		if got, err := greeting(conn, patience); !strings.HasPrefix(got, "SSH-2.0-") {
			t.Errorf("it said %q: %v", got, err)
		}
	}
	mustGreet(connect(patience))

	if err := h.Net(false); err != nil {
		t.Fatal(err)
	}
	if conn, err := connect(200 * time.Millisecond); err == nil {
		conn.Close()
		t.Error("it answers with its cable out")
	}
	if err := h.Net(true); err != nil {
		t.Fatal(err)
	}
	mustGreet(connect(patience))

	if err := h.Freeze(true); err != nil {
		t.Fatal(err)
	}
	conn, err := connect(patience) // the kernel answers for it
	if err != nil {
		t.Fatal(err)
	}
	if got, err := greeting(conn, 200*time.Millisecond); err == nil {
		t.Errorf("it said %q while it hung", got)
	}
	if err := h.Freeze(false); err != nil {
		t.Fatal(err)
	}
	mustGreet(conn, nil)
}

func TestEightSideBySide(t *testing.T) {
	different := map[string]bool{}
	for _, h := range StartAll(t, 8, Systemd) {
		id := run(t, h.Command(t.Context(), "cat", "/proc/sys/kernel/random/boot_id", "/etc/machine-id", "/etc/hostname"))
		if state := run(t, h.Command(t.Context(), "systemctl", "is-system-running")); state != "running\n" {
			t.Errorf("%s is %s", h.Name, state)
		}
		for line := range strings.Lines(id) {
			if different[line] {
				t.Errorf("two hosts have %s", line)
			}
			different[line] = true
		}
	}
}
