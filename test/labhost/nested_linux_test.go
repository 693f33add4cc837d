package labhost

import (
	"os"
	"path/filepath"
	"testing"

	"golang.org/x/sys/unix"
)

// Where the machine has cgroup v2 alone, hosts get its controllers, without a change to the machine's own cgroups. A machine with a kernel of its own is such a one.
func TestHostsHaveTheMachinesControllers(t *testing.T) {
	const modules = "/usr/lib/uml/modules"
	Test(t, Limits, func(t *testing.T) {
		loadModules(t, modules)
		const handsDown = "/sys/fs/cgroup/cgroup.subtree_control"
		if err := os.WriteFile(handsDown, []byte("+cpu +memory"), 0); err != nil { // as systemd does where it is process 1
			t.Fatal(err)
		}
		if err := os.Unsetenv(insideEnv); err != nil { // here this is the machine
			t.Fatal(err)
		}
		h := Start(t, Cgroup)
		if got, err := h.Get("/sys/fs/cgroup/cgroup.controllers"); err != nil || string(got) != "cpu memory\n" {
			t.Errorf("the host has %q: %v", got, err)
		}
		if got, err := os.ReadFile(handsDown); err != nil || string(got) != "cpu memory\n" {
			t.Errorf("the machine now hands down %q: %v", got, err)
		}
	}, Bind{modules, modules})
}

// loadModules loads what a lab needs of a kernel, in the order in which they need each other.
func loadModules(t *testing.T, dir string) {
	t.Helper()
	for _, name := range []string{"fs/overlayfs/overlay", "drivers/net/veth", "net/llc/llc", "net/802/stp", "lib/crc-ccitt", "net/ipv6/ipv6", "net/bridge/bridge"} {
		files, err := filepath.Glob(filepath.Join(dir, "*", "kernel", name+".ko"))
		if err != nil {
			t.Fatal(err)
		}
		for _, file := range files {
			f, err := os.Open(file)
			if err != nil {
				t.Fatal(err)
			}
			if err := unix.FinitModule(int(f.Fd()), "", 0); err != nil {
				t.Errorf("load %s: %v", file, err)
			}
			f.Close()
		}
	}
}
