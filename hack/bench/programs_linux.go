package main

import (
	"context"
	"fmt"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"

	"reconciler.dev/reconciler/test/labhost"
)

const (
	programRounds = 9
	programSize   = 10_000_000
)

// programRow is what it takes to bring a new program to every host, beside scp, by turns and in the same run. Both are fresh processes that have to log in; ours verifies what arrived
// besides, and flushes it to the disk.
func (s *site) programRow(ctx context.Context) (rows []row, err error) {
	dir := filepath.Join(s.b.dir, "remote", "programs")
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return nil, err
	}
	tinyd, err := os.ReadFile(s.b.tinyd)
	if err != nil {
		return nil, err
	}
	from := filepath.Join(dir, "program")
	for _, h := range s.hosts {
		text := fmt.Sprintf("apiVersion: reconciler.dev/v1\nkind: DaemonSpec\nmetadata: {name: program}\nspec:\n  host: %s\n  driver: systemd\n  install: {from: program}\n", h.Name)
		if err := os.WriteFile(filepath.Join(dir, h.Name+".yaml"), []byte(text), 0o644); err != nil {
			return nil, err
		}
	}
	var copied, installed, again figures
	for round := range programRounds {
		more := make([]byte, programSize-len(tinyd))
		_, _ = rand.NewChaCha8([32]byte{byte(round), 1}).Read(more) // it never fails
		if err := os.WriteFile(from, append(tinyd[:len(tinyd):len(tinyd)], more...), 0o755); err != nil {
			return nil, err
		}
		took, err := s.each(func(_ int, h *labhost.Host) error { _, err := timed(s.scp(ctx, h, from)); return err })
		if err != nil {
			return nil, err
		}
		copied.took(took)
		if took, err = s.do(ctx, "install", "-f", dir); err != nil {
			return nil, err
		}
		installed.took(took)
		if took, err = s.do(ctx, "install", "-f", dir); err != nil {
			return nil, err
		}
		again.took(took)
	}
	return []row{
		{what: fmt.Sprintf("install: a new program of %d MB to %d hosts, from a fresh process", programSize/1_000_000, len(s.hosts)), unit: "ms", ours: installed, floor: copied, bar: 1.3, peer: "scp to the same hosts"},
		{what: "the same again, which sends nothing of it", unit: "ms", ours: again},
	}, nil
}

// scp copies a program as people do.
func (s *site) scp(ctx context.Context, h *labhost.Host, from string) *exec.Cmd {
	return s.command(ctx, "scp", "-q", "-F", s.home.Path("config"), "-o", "BatchMode=yes", "-o", "GlobalKnownHostsFile=none", "-o", "UserKnownHostsFile="+s.home.Path("known_hosts"),
		"-i", s.home.Path("id_ed25519"), "-o", "IdentitiesOnly=yes", from, "root@"+h.Name+":/var/tmp/program")
}
