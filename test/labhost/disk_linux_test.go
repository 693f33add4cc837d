package labhost

import "testing"

// A full disk is full for everything that the host would write to it, and only there; when there is room again all goes on.
func TestFill(t *testing.T) {
	t.Parallel()
	h, other := Start(t, Systemd), Start(t, Bare)
	fill := func(full bool) {
		t.Helper()
		if err := h.Fill(full); err != nil {
			t.Fatal(err)
		}
	}
	write := func(h *Host, path string) error {
		return h.Command(t.Context(), "sh", "-c", "dd if=/dev/zero of="+path+" bs=64k count=16 conv=fsync 2>/dev/null").Run()
	}
	fill(true)
	for _, path := range []string{"/root/x", "/etc/x", "/var/lib/x"} {
		if write(h, path) == nil {
			t.Errorf("1 MiB fits %s on a full disk", path)
		}
	}
	if err := write(h, "/run/x"); err != nil {
		t.Errorf("/run is full, too: %v", err)
	}
	if err := write(other, "/root/x"); err != nil {
		t.Errorf("the disk of another host is full, too: %v", err)
	}
	fill(false)
	if err := write(h, "/root/x"); err != nil {
		t.Errorf("there is no room again: %v", err)
	}
	if err := h.PowerCycle(t.Context()); err != nil {
		t.Fatal(err)
	}
	run(t, h.Command(t.Context(), "test", "-s", "/root/x"))
}
