package bootstrap_test

import (
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"reconciler.dev/reconciler/internal/freeport"
	"reconciler.dev/reconciler/pkg/remote/link"
)

// sshHost is OpenSSH's sshd with accounts, homes and a sudoers of its own, in a mount namespace where nothing of this machine changes.
type sshHost struct {
	t       *testing.T
	inside  chan func() // runs there
	port    int
	key     string // path of the private key that opens every account
	hostKey string
	uids    map[string]uint32
}

// newSSHHost starts sshd with more lines of sshd_config(5).
func newSSHHost(t *testing.T, lines ...string) *sshHost {
	t.Helper()
	h := &sshHost{t: t, inside: make(chan func()), uids: map[string]uint32{}}
	go func() {
		runtime.LockOSThread() // and never unlocked: see withDisk
		for f := range h.inside {
			f()
		}
	}()
	t.Cleanup(func() { close(h.inside) })
	h.do(func() error {
		if err := syscall.Unshare(syscall.CLONE_NEWNS); err != nil {
			return err
		}
		if err := syscall.Mount("", "/", "", syscall.MS_REC|syscall.MS_PRIVATE, ""); err != nil {
			return err
		}
		return errors.Join(h.disk("/run", "10m", 0), h.disk("/home", "300m", 0), os.Mkdir("/run/sshd", 0o755), os.Mkdir("/run/etc", 0o755), os.Chmod("/home", 0o755), os.Chmod("/run", 0o755))
	})
	accounts := "root:x:0:0:root:/home/root:/bin/bash\nsshd:x:39999:65534::/run/sshd:/usr/sbin/nologin\nnobody:x:65534:65534::/:/usr/sbin/nologin\n"
	h.replace("/etc/passwd", accounts)
	h.replace("/etc/group", "root:x:0:\nnogroup:x:65534:\n")
	h.replace("/etc/shadow", "root:*:1::::::\n")
	h.replace("/etc/shells", strings.Join(shells(), "\n"))
	h.key = h.keygen()
	h.hostKey = h.keygen()
	h.port = freeport.Port(t)
	config := append(lines, "Port "+strconv.Itoa(h.port), "ListenAddress 127.0.0.1", "HostKey "+h.hostKey, "AuthorizedKeysFile .ssh/authorized_keys", "UsePAM no", "PidFile none",
		"StrictModes no", "PermitRootLogin yes")
	file := h.write("/run/sshd.conf", strings.Join(config, "\n")+"\n", 0o600)
	h.do(func() error {
		cmd := exec.Command("/usr/sbin/sshd", "-D", "-e", "-f", file)
		cmd.Stderr = t.Output()
		cmd.SysProcAttr = &syscall.SysProcAttr{Cloneflags: syscall.CLONE_NEWPID, Pdeathsig: syscall.SIGKILL} // what accounts leave running ends with it
		if err := cmd.Start(); err != nil {
			return err
		}
		t.Cleanup(func() {
			cmd.Process.Kill()
			cmd.Wait()
		})
		return nil
	})
	for {
		conn, err := net.Dial("tcp", net.JoinHostPort("127.0.0.1", strconv.Itoa(h.port)))
		if err == nil {
			conn.Close()
			return h
		}
		if !errors.Is(err, syscall.ECONNREFUSED) || t.Context().Err() != nil {
			t.Fatal(err)
		}
		time.Sleep(time.Millisecond)
	}
}

// do runs f where the host's files are.
func (h *sshHost) do(f func() error) {
	h.t.Helper()
	done := make(chan error)
	h.inside <- func() { done <- f() }
	if err := <-done; err != nil {
		h.t.Fatal(err)
	}
}

// disk mounts a file system; it runs inside.
func (h *sshHost) disk(dir, size string, flags uintptr) error {
	return syscall.Mount("tmpfs", dir, "tmpfs", flags, "mode=755,size="+size)
}

// write makes a file of the host's.
func (h *sshHost) write(path, text string, mode os.FileMode) string {
	h.t.Helper()
	h.do(func() error {
		return errors.Join(os.MkdirAll(filepath.Dir(path), 0o755), os.WriteFile(path, []byte(text), mode), os.Chmod(path, mode))
	})
	return path
}

// read reads one.
func (h *sshHost) read(path string) (text string) {
	h.t.Helper()
	h.do(func() error {
		b, err := os.ReadFile(path)
		text = string(b)
		return err
	})
	return text
}

// replace lays a file over one of this machine's, for the host alone.
func (h *sshHost) replace(path, text string) {
	h.t.Helper()
	over := h.write("/run"+path, text, 0o644)
	h.do(func() error {
		if _, err := os.Stat(path); err != nil {
			return err
		}
		return syscall.Mount(over, path, "", syscall.MS_BIND, "")
	})
}

// append adds to a file in place.
func (h *sshHost) append(path, text string) {
	h.t.Helper()
	h.do(func() error {
		f, err := os.OpenFile(path, os.O_APPEND|os.O_WRONLY, 0)
		if err != nil {
			return err
		}
		_, err = f.WriteString(text)
		return errors.Join(err, f.Close())
	})
}

func (h *sshHost) keygen() string {
	h.t.Helper()
	path := filepath.Join(h.t.TempDir(), "key")
	if out, err := exec.Command("ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", path).CombinedOutput(); err != nil {
		h.t.Fatalf("ssh-keygen: %v: %s", err, out)
	}
	return path
}

// account makes one with that login shell, and returns its home. options stand before its key in authorized_keys.
func (h *sshHost) account(name, shell, options string, files map[string]string) (home string) {
	h.t.Helper()
	uid := 40_000 + uint32(len(h.uids))
	h.uids[name] = uid
	home = "/home/" + name
	h.append("/etc/passwd", fmt.Sprintf("%s:x:%d:65534::%s:%s\n", name, uid, home, shell))
	h.append("/etc/shadow", name+":*:1::::::\n")
	pub, err := os.ReadFile(h.key + ".pub")
	if err != nil {
		h.t.Fatal(err)
	}
	h.write(home+"/.ssh/authorized_keys", options+string(pub), 0o644)
	for file, text := range files {
		h.write(filepath.Join(home, file), text, 0o755)
	}
	h.do(func() error {
		return filepath.WalkDir(home, func(path string, _ os.DirEntry, err error) error {
			return errors.Join(err, os.Chown(path, int(uid), 65534))
		})
	})
	return home
}

// runs tells whether an account has a process: see proc(5).
func (h *sshHost) runs(name string) bool {
	h.t.Helper()
	processes, err := filepath.Glob("/proc/[0-9]*")
	if err != nil {
		h.t.Fatal(err)
	}
	return slices.ContainsFunc(processes, func(p string) bool {
		fi, err := os.Stat(p)
		return err == nil && fi.Sys().(*syscall.Stat_t).Uid == h.uids[name]
	})
}

// written is how much of its agent, or of a part of it, a home has.
func (h *sshHost) written(home string) (most int64) {
	h.t.Helper()
	h.do(func() error {
		files, err := filepath.Glob(home + "/.cache/reconciler/agents/*/*")
		for _, file := range files {
			if fi, err := os.Stat(file); err == nil { // else it was moved meanwhile
				most = max(most, fi.Size())
			}
		}
		return err
	})
	return most
}

// session is a connection as an account, which notes the commands.
type session struct {
	*link.Conn
	commands []string
	// before is called with the bytes of each write but for small ones, where it isn't nil.
	before func(n int)
	sent   int
}

func (s *session) Open(ctx context.Context, command string) (link.Stream, error) {
	s.commands = append(s.commands, command)
	stream, err := s.Conn.Open(ctx, command)
	if err != nil {
		return nil, err
	}
	return &watched{stream, s}, nil
}

type watched struct {
	link.Stream
	session *session
}

func (w *watched) Write(b []byte) (int, error) {
	if w.session.before != nil {
		w.session.before(len(b))
	}
	n, err := w.Stream.Write(b)
	w.session.sent += n
	return n, err
}

func (h *sshHost) dial(t *testing.T, user string) *session {
	t.Helper()
	hostKey, err := os.ReadFile(h.hostKey + ".pub")
	if err != nil {
		t.Fatal(err)
	}
	conn, err := link.New(link.Options{}).Dial(t.Context(), link.Target{
		Name: "gpu-1", Address: "127.0.0.1", Port: h.port, User: user, IdentityFiles: []string{h.key}, IdentityAgent: "none", HostKey: string(hostKey),
	})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { conn.Close() })
	return &session{Conn: conn}
}

// put puts a stand-in on the host.
func (h *sshHost) put(t *testing.T, path, version string) string {
	t.Helper()
	text, err := os.ReadFile(programs(t).version(version))
	if err != nil {
		t.Fatal(err)
	}
	return h.write(path, string(text), 0o755)
}

// remount gives a file system other flags; it runs inside.
func remount(dir string, flags uintptr) error {
	return syscall.Mount("", dir, "", syscall.MS_REMOUNT|flags, "")
}
