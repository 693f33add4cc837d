package main

import (
	"context"
	"fmt"
	"net"
	"path/filepath"
	"testing"
	"time"

	"reconciler.dev/reconciler/internal/doctor"
	"reconciler.dev/reconciler/pkg/drivers"
	"reconciler.dev/reconciler/pkg/drivers/systemd"
)

// fakeBoot is a machine's one boot service, on paper.
type fakeBoot struct {
	text    string
	foreign bool
}

func (b *fakeBoot) Text(_ context.Context, s systemd.Service) ([]byte, error) {
	s.Version = 252
	return s.Text()
}

func (b *fakeBoot) Install(ctx context.Context, s systemd.Service) (systemd.Installed, error) {
	done := systemd.Installed{Path: "/etc/systemd/system/reconciler.service", Action: "unchanged"}
	text, err := b.Text(ctx, s)
	switch {
	case err != nil:
		return done, err
	case b.foreign:
		return done, fmt.Errorf("install %s: somebody else wrote it: %w", done.Path, drivers.ErrConflict)
	case b.text == "":
		done.Action = "created"
	case b.text != string(text):
		done.Action = "configured"
	}
	b.text = string(text)
	return done, nil
}

func (b *fakeBoot) Remove(context.Context) (bool, error) {
	removed := b.text != ""
	b.text = ""
	return removed, nil
}

// serviceSession installs the boot service again and again. The program's own path differs from machine to machine.
func serviceSession(d *desk) {
	d.must(0, "install-service", "-f", ".", "-f", "db.yaml", "-l", "app=shop", "-R", "--set=50%", "--resync=1m", "--drivers=process", "--listen=127.0.0.1:9640", "--dry-run")
	d.must(0, "install-service", "-f", ".")
	d.must(0, "install-service", "-f", ".")
	d.must(0, "install-service", "-f", ".", "--prune", "--prune-guard=3")
	d.facts = doctor.Facts{UID: 1000, User: "alice"}
	d.must(0, "install-service", "-f", ".")
	d.boot.foreign = true
	d.note("somebody else's unit")
	d.must(6, "install-service", "-f", ".")
	d.must(2, "install-service")
	d.must(1, "install-service", "-f", ".", "--drivers=cgroup")
	d.must(2, "install-service", "-f", ".", "--drivers=docker")
	d.stdin = "{}"
	d.must(2, "install-service", "-f", "-")
	d.must(2, "install-service", "-f", "nothing")
	d.must(0, "uninstall-service")
	d.must(0, "uninstall-service")
}

// TestRunTellsItsManager checks that a run that a service manager started says when it keeps the daemons, and when it ends.
func TestRunTellsItsManager(t *testing.T) {
	socket := filepath.Join(t.TempDir(), "notify")
	heard, err := net.ListenUnixgram("unixgram", &net.UnixAddr{Name: socket, Net: "unixgram"})
	if err != nil {
		t.Fatal(err)
	}
	defer heard.Close()
	d := newDesk(t)
	d.host = newBubbleHost()
	d.env["NOTIFY_SOCKET"] = socket
	hear := func() string {
		if err := heard.SetReadDeadline(time.Now().Add(20 * time.Second)); err != nil {
			t.Fatal(err)
		}
		b := make([]byte, 100)
		n, err := heard.Read(b)
		if err != nil {
			t.Fatal(err)
		}
		return string(b[:n])
	}
	out, _, interrupt := d.start("run", "-f", ".")
	if got := hear(); got != "READY=1" {
		t.Errorf("at first it says %q", got)
	}
	out.shows(t, "daemon/db: created", 1)
	out.shows(t, "daemon/web: created", 1)
	if code := interrupt(); code != exitOK {
		t.Errorf("exit %d", code)
	}
	if got := hear(); got != "STOPPING=1" {
		t.Errorf("at its end it says %q", got)
	}
}
