package cgroup

import (
	"fmt"
	"os"
	"path/filepath"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"reconciler.dev/reconciler/internal/layout"
	"reconciler.dev/reconciler/pkg/drivers/driverstest"
	"reconciler.dev/reconciler/pkg/spec"
)

// many is how many daemons a machine full of them has.
const many = 500

// bareTimes are those of the kernel: it starts many processes in a group each with as little as can be, and ends them by a group above.
func bareTimes(b *testing.B, top string) (start, stop time.Duration) {
	var fds []int
	start, cmds := driverstest.BareStart(b, many, func(i int) *syscall.SysProcAttr {
		dir := filepath.Join(top, fmt.Sprint(i))
		if err := os.Mkdir(dir, 0o755); err != nil {
			b.Fatal(err)
		}
		fd, err := unix.Open(dir, unix.O_PATH|unix.O_DIRECTORY|unix.O_CLOEXEC, 0)
		if err != nil {
			b.Fatal(err)
		}
		fds = append(fds, fd)
		return &syscall.SysProcAttr{Setsid: true, UseCgroupFD: true, CgroupFD: fd}
	})
	for _, fd := range fds {
		unix.Close(fd)
	}
	began := time.Now()
	if err := writeFile(filepath.Join(top, "cgroup.kill"), "1"); err != nil {
		b.Fatal(err)
	}
	for _, c := range cmds {
		c.Wait()
	}
	stop = time.Since(began)
	if err := rmdir(top); err != nil {
		b.Fatal(err)
	}
	return start, stop
}

// BenchmarkManyDaemons starts, looks at and stops 500 daemons in leaves, each beside what the bare kernel takes for it.
func BenchmarkManyDaemons(b *testing.B) {
	var group string
	driverstest.Many{
		Kind: spec.DriverCgroup, N: many, Workers: 8, Rest: 100 * time.Millisecond,
		Bare: func() (time.Duration, time.Duration) {
			group = below(b)
			sub, err := findSubtree(group)
			if err != nil {
				b.Fatal(err)
			}
			top := filepath.Join(sub.dir(group), "bare")
			if err := os.Mkdir(top, 0o755); err != nil {
				b.Fatal(err)
			}
			return bareTimes(b, top)
		},
		Fresh: func() (*driverstest.Rig, func() *driverstest.Rig) {
			r := newRig(b, layout.Under(b.TempDir()), group)
			return &r.Rig, func() *driverstest.Rig { return &r.another().Rig }
		},
	}.Run(b)
}
