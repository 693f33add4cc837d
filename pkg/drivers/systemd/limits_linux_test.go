package systemd

import (
	"fmt"
	"os"
	"strings"
	"testing"

	"github.com/coreos/go-systemd/v22/dbus"

	"reconciler.dev/reconciler/pkg/spec"
	"reconciler.dev/reconciler/test/labhost"
)

// The kernel has what Files says, whether a limit came from the unit or was set while the daemon ran; and so where it was taken away again.
func TestLimitsReadBack(t *testing.T) {
	labhost.Test(t, labhost.LimitsSystemd, func(t *testing.T) {
		b := newBare(t, false)
		manager, err := dbus.NewSystemdConnectionContext(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		defer manager.Close()
		all := &spec.Cgroup{CPULimit: 500, MemoryLimit: 1<<27 + 1, MemoryHigh: 100_000_000, PidsLimit: 64, CPUWeight: 50, IOWeight: 200}
		for i, steps := range [][]*spec.Cgroup{
			{nil, all, nil},
			{all, {CPULimit: 1}, {CPULimit: 5, CPUWeight: 1}, {CPULimit: 9, CPUWeight: 10000}, {CPULimit: 12, IOWeight: 1}},
			{{CPULimit: 125}, {CPULimit: 2000, IOWeight: 10000}, {MemoryLimit: spec.Unlimited, PidsLimit: 1 << 20}, all},
		} {
			d := b.daemon(fmt.Sprintf("limited%d", i))
			for n, cgroup := range steps {
				d.Spec.Cgroup = cgroup
				how := "by its unit"
				if n == 0 {
					b.start(d)
				} else {
					how = "while it ran"
					if err := manager.SetUnitPropertiesContext(t.Context(), d.Name+".service", true, limitsOf(cgroup).Properties()...); err != nil {
						t.Fatal(err)
					}
				}
				dir := "/sys/fs/cgroup" + strings.TrimPrefix(b.show(d.Name+".service", "ControlGroup"), "ControlGroup=")
				for _, f := range limitsOf(cgroup).Files(os.Getpagesize()) {
					got, err := os.ReadFile(dir + "/" + f.Name)
					if os.IsNotExist(err) && (!f.Limited || f.Controller == "io") {
						continue // what nobody limits may have no controller; this kernel has no io.weight at all (CONFIG_BLK_CGROUP_IOCOST)
					}
					if first, _, _ := strings.Cut(string(got), "\n"); err != nil || first != f.Want {
						t.Errorf("%+v %s: %s is %q (%v), want %q", cgroup, how, f.Name, first, err, f.Want)
					}
				}
			}
		}
		b.sub("a daemon that takes too much is said to be killed for that", func(t *testing.T, b *bare) {
			d := b.daemon("hungry")
			d.Spec.Binary, d.Spec.Args, d.Spec.Restart.Policy = "/usr/bin/tail", []string{"/dev/zero"}, spec.RestartNever
			d.Spec.Cgroup = &spec.Cgroup{MemoryLimit: 16 << 20}
			u := b.install(d)
			b.systemctl("start", u.Name)
			b.eventually("it has failed", func() bool { return b.show(u.Name, "ActiveState") == "ActiveState=failed" })
			if got := b.show(u.Name, "Result"); got != "Result=oom-kill" {
				t.Errorf("%s, want oom-kill", got)
			}
		})
	})
}
