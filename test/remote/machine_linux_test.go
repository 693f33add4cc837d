package remote

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"slices"
	"sync/atomic"
	"testing"

	"golang.org/x/sys/unix"

	"reconciler.dev/reconciler/pkg/drivers/driverstest"
	"reconciler.dev/reconciler/pkg/spec"
	"reconciler.dev/reconciler/test/labhost"
)

// machine is a host as the conformance suite needs it, seen from outside, and not through what is being tested.
type machine struct {
	h    *labhost.Host
	dir  string // below which everything of the suite is, but for units
	dirs *atomic.Int64
}

var _ driverstest.Machine = machine{}

const (
	programAt = "/usr/local/bin/testprog"
	suiteDir  = "/var/tmp/suite"
)

// newMachine prepares a host for the suite, which needs a directory there of its own.
func newMachine(t *testing.T, h *labhost.Host, name string) machine {
	t.Helper()
	m := machine{h, suiteDir + "/" + name, &atomic.Int64{}}
	if err := errors.Join(m.MakeDir(m.dir), m.Write(m.dir+"/plain", driverstest.File{Content: []byte("#!/bin/true\n"), Mode: 0o644})); err != nil {
		t.Fatal(err)
	}
	return m
}

func (m machine) Program() string { return programAt }

func (m machine) Broken() map[string]string {
	return map[string]string{"missing": m.dir + "/missing", "not executable": m.dir + "/plain", "a directory": m.dir}
}

// ports counts the ports that were given away, so that each is on one host only. They are below those that the kernel gives to who asks for any.
var ports atomic.Int64

func (m machine) Port(*testing.T) int { return 20000 + int(ports.Add(1)) }

func (m machine) Dial(port int) (net.Conn, error) {
	return m.h.Dial(context.Background(), "tcp", fmt.Sprintf("%s:%d", m.h.Addr, port))
}

func (m machine) Root() bool { return true }

func (m machine) Dir(t *testing.T) string {
	t.Helper()
	dir := fmt.Sprintf("%s/%d", m.dir, m.dirs.Add(1))
	err := m.h.Files(func(r *os.Root) error {
		return errors.Join(r.MkdirAll(dir[1:], 0o755), r.Chmod(dir[1:], 0o777))
	})
	if err != nil {
		t.Fatal(err)
	}
	return dir
}

func (m machine) Alive(pid int) bool {
	stat, err := m.h.Get(fmt.Sprintf("/proc/%d/stat", pid))
	if err != nil {
		return false
	}
	_, state, _ := bytes.Cut(stat[bytes.LastIndexByte(stat, ')'):], []byte(" "))
	return len(state) > 0 && state[0] != 'Z' && state[0] != 'X'
}

func (m machine) Signal(pid int, s spec.Signal) error {
	all, err := m.h.Processes()
	if err != nil {
		return err
	}
	i := slices.IndexFunc(all, func(p labhost.Process) bool { return p.PID == pid })
	if i < 0 {
		return unix.ESRCH
	}
	return m.h.Signal(all[i], unix.SignalNum(string(s)))
}

func (m machine) Read(path string) (f driverstest.File, err error) {
	err = m.h.Files(func(r *os.Root) error {
		if f.Content, err = r.ReadFile(path[1:]); err != nil {
			return err
		}
		info, err := r.Stat(path[1:])
		if err == nil {
			f.Mode = spec.Mode(info.Mode().Perm())
		}
		return err
	})
	return f, err
}

func (m machine) Write(path string, f driverstest.File) error {
	return m.h.Files(func(r *os.Root) error {
		return errors.Join(r.WriteFile(path[1:], f.Content, 0o600), r.Chmod(path[1:], os.FileMode(f.Mode)))
	})
}

func (m machine) Remove(path string) error {
	return m.h.Files(func(r *os.Root) error { return r.Remove(path[1:]) })
}

func (m machine) MakeDir(path string) error {
	return m.h.Files(func(r *os.Root) error { return r.MkdirAll(path[1:], 0o755) })
}

func (m machine) Name(path string) error {
	return m.h.Files(func(r *os.Root) error { return r.Symlink(programAt, path[1:]) })
}

// seen is a path of the host as this machine has it.
func (m machine) seen(path string) string { return m.h.Path(path) }
