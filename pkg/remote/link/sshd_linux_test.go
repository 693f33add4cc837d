package link_test

import (
	"errors"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"reconciler.dev/reconciler/internal/freeport"
	"reconciler.dev/reconciler/pkg/remote/link"
)

// tool runs a program to its end.
func tool(t *testing.T, args ...string) string {
	t.Helper()
	out, err := exec.CommandContext(t.Context(), args[0], args[1:]...).CombinedOutput()
	if err != nil {
		t.Fatalf("%s: %v: %s", strings.Join(args, " "), err, out)
	}
	return string(out)
}

// keygen makes a key pair and returns the path of the private one.
func keygen(t *testing.T, args ...string) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "key")
	tool(t, append([]string{"ssh-keygen", "-q", "-f", path}, args...)...)
	return path
}

// server is a running sshd.
type server struct {
	port    int
	dir     string
	hostKey string // path
	process *os.Process
}

// sshd starts one with more lines of sshd_config(5), of which the first of a kind counts. Public keys in authorized open every account.
func sshd(t *testing.T, authorized []string, lines ...string) *server {
	t.Helper()
	s := &server{port: freeport.Port(t), dir: t.TempDir(), hostKey: keygen(t, "-t", "ed25519", "-N", "")}
	var keys strings.Builder
	for _, path := range authorized {
		keys.WriteString(read(t, path))
	}
	for dir := s.dir; dir != "/tmp"; dir = filepath.Dir(dir) { // sshd reads it as the user
		if err := os.Chmod(dir, 0o755); err != nil {
			t.Fatal(err)
		}
	}
	file := write(t, filepath.Join(s.dir, "authorized_keys"), keys.String())
	if err := os.Chmod(file, 0o644); err != nil {
		t.Fatal(err)
	}
	config := strings.Join(append(lines, "Port "+strconv.Itoa(s.port), "ListenAddress 127.0.0.1", "HostKey "+s.hostKey, "AuthorizedKeysFile "+file,
		"UsePAM no", "PidFile none", "PermitRootLogin yes", "StrictModes no", "LogLevel VERBOSE"), "\n")
	cmd := exec.CommandContext(t.Context(), "/usr/sbin/sshd", "-D", "-e", "-f", write(t, filepath.Join(s.dir, "config"), config+"\n"))
	cmd.Stderr = t.Output()
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	s.process = cmd.Process
	t.Cleanup(func() {
		cmd.Process.Kill()
		cmd.Wait()
	})
	for {
		conn, err := net.Dial("tcp", s.address())
		if err == nil {
			conn.Close()
			return s
		}
		if !errors.Is(err, syscall.ECONNREFUSED) || t.Context().Err() != nil {
			t.Fatal(err)
		}
		time.Sleep(time.Millisecond)
	}
}

func (s *server) address() string { return net.JoinHostPort("127.0.0.1", strconv.Itoa(s.port)) }

// target is how root gets in, with a key.
func (s *server) target(t *testing.T, keys ...string) link.Target {
	t.Helper()
	return link.Target{Name: "real", Address: "127.0.0.1", Port: s.port, User: "root", IdentityFiles: keys, IdentityAgent: "none", HostKey: read(t, s.hostKey+".pub")}
}
