package remote

import (
	"context"
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"reconciler.dev/reconciler/internal/freeport"
	"reconciler.dev/reconciler/pkg/drivers"
	"reconciler.dev/reconciler/pkg/drivers/driverstest"
	"reconciler.dev/reconciler/pkg/remote/link"
	"reconciler.dev/reconciler/pkg/spec"
	"reconciler.dev/reconciler/test/labhost"
	"reconciler.dev/reconciler/test/sshlab"
)

// TestLoopback: plain processes keep every promise of pkg/drivers, where OpenSSH's sshd on the loopback of the same machine lies between them and the test. The machine is a host of
// its own, because sshd has files outside of any directory that it could be given.
func TestLoopback(t *testing.T) {
	labhost.Test(t, labhost.Bare, func(t *testing.T) {
		conn, states, cases := dialLoopback(t), t.TempDir(), &atomic.Int64{}
		driverstest.Run(t, func(t *testing.T) driverstest.Subject {
			dir := filepath.Join(states, strconv.FormatInt(cases.Add(1), 10)) // the names of cases are nothing for a shell
			open := func() drivers.Driver {
				return driverBehind(t, conn, "loopback", reconciler(t), spec.DriverProcess, dir)
			}
			return driverstest.Subject{Driver: open(), Reopen: open, Dirs: []string{dir}}
		})
	}, labhost.Bind{From: reconciler(t), To: hostBin + "/reconciler"})
}

// dialLoopback starts sshd, for root with a key and no configuration but its own, and connects to it.
func dialLoopback(t *testing.T) *link.Conn {
	t.Helper()
	home, err := sshlab.NewHome(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	hostKey, err := sshlab.NewKey("")
	if err != nil {
		t.Fatal(err)
	}
	port, dir := freeport.Port(t), t.TempDir()
	config := []string{
		"Port " + strconv.Itoa(port), "ListenAddress 127.0.0.1", "HostKey " + dir + "/host_key", "AuthorizedKeysFile " + dir + "/authorized_keys", "PermitRootLogin yes",
		"UsePAM no", "PidFile none", "StrictModes no", "MaxSessions 1000",
	}
	if err := errors.Join(
		os.MkdirAll("/run/sshd", 0o755), os.WriteFile("/root/.bashrc", nil, 0o644), // root's shell reads what this machine's owner has there
		hostKey.Write(dir+"/host_key"), os.WriteFile(dir+"/authorized_keys", []byte(home.Key.Line()+"\n"), 0o644), os.WriteFile(dir+"/config", []byte(strings.Join(config, "\n")+"\n"), 0o644),
	); err != nil {
		t.Fatal(err)
	}
	cmd := exec.CommandContext(context.WithoutCancel(t.Context()), "/usr/sbin/sshd", "-D", "-e", "-f", dir+"/config")
	cmd.Stderr = t.Output()
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_ = cmd.Process.Kill() // it may have ended
		_ = cmd.Wait()         // that it was killed is known
	})
	target := link.Target{Name: "loopback", Address: "127.0.0.1", Port: port, User: "root", HostKey: hostKey.Line()}
	for {
		conn, err := link.New(link.Options{Home: home.Dir}).Dial(t.Context(), target)
		if err == nil {
			t.Cleanup(func() { conn.Close() })
			return conn
		}
		if !errors.Is(err, syscall.ECONNREFUSED) || t.Context().Err() != nil {
			t.Fatal(err)
		}
		time.Sleep(5 * time.Millisecond) // it will listen
	}
}
