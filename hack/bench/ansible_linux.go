package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"time"

	"reconciler.dev/reconciler/test/labhost"
)

// python shows a host this machine's Python, where there is an Ansible to need it. The hosts' root is of the same release as this machine, and has the libraries.
func python() (binds []labhost.Bind) {
	if !ansibleInstalled() {
		return nil
	}
	for _, pattern := range []string{"/usr/bin/python3.*", "/usr/lib/python3.*"} {
		found, _ := filepath.Glob(pattern) // the patterns are good
		for _, path := range found {
			binds = append(binds, labhost.Bind{From: path, To: path})
		}
	}
	if real, err := filepath.EvalSymlinks("/usr/bin/python3"); err == nil {
		binds = append(binds, labhost.Bind{From: real, To: "/usr/bin/python3"})
	}
	return binds
}

func ansibleInstalled() bool {
	_, err := exec.LookPath("ansible-playbook")
	return err == nil
}

// ansible is a playbook that checks what ours checks.
type ansible struct {
	s   *site
	dir string
}

// newAnsible writes a playbook of one task for each daemon, which says that its unit is started, and the settings that make Ansible as fast as it goes: pipelining, connections that
// are kept, a fork for each host, and no facts.
func (s *site) newAnsible() (*ansible, error) {
	a := &ansible{s: s, dir: filepath.Join(s.b.dir, "ansible")}
	if err := os.Mkdir(a.dir, 0o755); err != nil {
		return nil, err
	}
	var inventory, book strings.Builder
	for _, h := range s.hosts {
		fmt.Fprintf(&inventory, "%s ansible_host=%s ansible_user=root ansible_python_interpreter=/usr/bin/python3\n", h.Name, h.Addr)
	}
	book.WriteString("- hosts: all\n  gather_facts: false\n  tasks:\n")
	for _, n := range s.names {
		fmt.Fprintf(&book, "    - systemd: {name: %s.service, state: started}\n", n)
	}
	ssh := fmt.Sprintf("-F %s -o UserKnownHostsFile=%s -o IdentityFile=%s -o IdentitiesOnly=yes -o ControlMaster=auto -o ControlPersist=300s -o ControlPath=%s",
		s.home.Path("config"), s.home.Path("known_hosts"), s.home.Path("id_ed25519"), a.control("%%h"))
	for name, text := range map[string]string{
		"inventory": inventory.String(), "book.yaml": book.String(),
		"ansible.cfg": fmt.Sprintf("[defaults]\ninventory = inventory\nforks = %d\nlocal_tmp = %s/tmp\n[ssh_connection]\npipelining = true\nssh_args = %s\n", len(s.hosts), a.dir, ssh),
	} {
		if err := os.WriteFile(filepath.Join(a.dir, name), []byte(text), 0o644); err != nil {
			return nil, err
		}
	}
	return a, nil
}

// control is the socket of the connection to a host.
func (a *ansible) control(address string) string { return filepath.Join(a.dir, "to-"+address) }

// run runs the playbook.
func (a *ansible) run(ctx context.Context) (time.Duration, error) {
	cmd := a.s.command(ctx, "ansible-playbook", "book.yaml")
	cmd.Dir = a.dir
	cmd.Env = append(cmd.Env, "ANSIBLE_CONFIG="+filepath.Join(a.dir, "ansible.cfg"), "LC_ALL=C.UTF-8")
	return timed(cmd)
}

// end ends the connections that it keeps.
func (a *ansible) end(ctx context.Context) error {
	var errs []error
	for _, h := range a.s.hosts {
		if _, err := os.Stat(a.control(h.Addr)); err == nil {
			_, err = timed(a.s.command(ctx, "ssh", "-F", a.s.home.Path("config"), "-o", "ControlPath="+a.control(h.Addr), "-O", "exit", h.Addr))
			errs = append(errs, err)
		}
	}
	return errors.Join(errs...)
}
