package systemd

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"time"

	"golang.org/x/sys/unix"

	"reconciler.dev/reconciler/pkg/spec"
)

// cgroupMount is where cgroup v2 is mounted: on /sys/fs/cgroup, or below that on a hybrid machine. Empty where it isn't.
func cgroupMount() string {
	for _, dir := range []string{"/sys/fs/cgroup", "/sys/fs/cgroup/unified"} {
		var st unix.Statfs_t
		if unix.Statfs(dir, &st) == nil && st.Type == unix.CGROUP2_SUPER_MAGIC {
			return dir
		}
	}
	return ""
}

// managerCgroup is the cgroup that the manager's own slices are below: / or that of user@UID.service.
func (d *Driver) managerCgroup(ctx context.Context) (string, error) {
	if p := d.learnt.root.Load(); p != nil {
		return *p, nil
	}
	root := ""
	if d.scope.user {
		l, err := d.bus.get(ctx)
		if err != nil {
			return "", err
		}
		if err := l.callOn(ctx, l.manager, "org.freedesktop.DBus.Properties.Get", managerInterface, "ControlGroup").Store(&root); err != nil {
			return "", err
		}
		root = strings.TrimSuffix(root, "/")
	}
	d.learnt.root.Store(&root)
	return root, nil
}

// cgroupOf is the path of a unit's cgroup below the mount.
func (d *Driver) cgroupOf(ctx context.Context, unit string, s *spec.Spec) (string, error) {
	root, err := d.managerCgroup(ctx)
	if err != nil {
		return "", err
	}
	slice := "system.slice"
	if d.scope.user {
		slice = "app.slice"
	}
	if c := s.Cgroup; c != nil && c.Slice != "" {
		slice = c.Slice
	}
	return root + "/" + strings.Join(spec.SlicePath(slice), "/") + "/" + unit, nil
}

// readCgroup reads back what the kernel enforces on a daemon that runs, and says what it doesn't and should.
func (d *Driver) readCgroup(ctx context.Context, f *finding, o *spec.Observed) {
	limits := limitsOf(o.Stamp.Spec.Cgroup)
	if !f.alive() {
		o.Lost = d.losses(ctx, &o.Stamp.Spec)
		return
	}
	path, err := d.cgroupOf(ctx, f.unit, &o.Stamp.Spec)
	if err != nil {
		return // told by the state already
	}
	o.Cgroup = path
	dir := filepath.Join(d.cgroupMount(), path)
	for _, file := range limits.Files(os.Getpagesize()) {
		if !file.Limited {
			continue // what others have set there in a limit's absence is found by its drop-in
		}
		have, err := os.ReadFile(filepath.Join(dir, file.Name)) // the kernel tells no size of it
		if errors.Is(err, fs.ErrNotExist) || errors.Is(err, unix.ENODEV) {
			o.Lost = append(o.Lost, spec.Loss{Field: file.Field, Reason: d.noFile(ctx, dir, file)})
			continue
		}
		if err != nil {
			o.Lost = append(o.Lost, spec.Loss{Field: file.Field, Reason: fmt.Sprintf("what is enforced can't be read back: %v", err)})
			continue
		}
		got := strings.TrimSpace(string(have))
		o.Limits = append(o.Limits, spec.Limit{Field: file.Field, Value: inManifest(file.Field, got)})
		if got != file.Want {
			o.Drift = append(o.Drift, spec.Drift{Field: file.Field, Want: inManifest(file.Field, file.Want), Have: inManifest(file.Field, got), Class: spec.Live})
		}
	}
}

// controllers are those that the manager can give to a unit.
func (d *Driver) controllers(ctx context.Context) ([]string, error) {
	root, err := d.managerCgroup(ctx)
	if err != nil {
		return nil, err
	}
	mount := d.cgroupMount()
	if mount == "" {
		return nil, nil
	}
	data, err := os.ReadFile(filepath.Join(mount, root, "cgroup.controllers"))
	if err != nil {
		return nil, fmt.Errorf("look at the controllers of %s: %w", root, err)
	}
	return strings.Fields(string(data)), nil
}

// losses are what a daemon asks for and can't have here.
func (d *Driver) losses(ctx context.Context, s *spec.Spec) []spec.Loss {
	var lost []spec.Loss
	limits := limitsOf(s.Cgroup)
	if limits == (Limits{}) {
		return lost
	}
	have, err := d.controllers(ctx)
	for _, file := range limits.Files(os.Getpagesize()) {
		switch {
		case !file.Limited || slices.Contains(have, file.Controller):
		case err != nil:
			lost = append(lost, spec.Loss{Field: file.Field, Reason: err.Error()})
		default:
			lost = append(lost, spec.Loss{Field: file.Field, Reason: d.noController(ctx, file.Controller)})
		}
	}
	return lost
}

// kernelHas tells whether the machine has a controller, delegated or not.
func (d *Driver) kernelHas(controller string) bool {
	data, err := os.ReadFile(filepath.Join(d.cgroupMount(), "cgroup.controllers"))
	return err == nil && slices.Contains(strings.Fields(string(data)), controller)
}

// noFile says why a unit's cgroup lacks the file of a limit: it has no such controller, or has one that can do only a part, as io without the kernel's CONFIG_BLK_CGROUP_IOCOST.
func (d *Driver) noFile(ctx context.Context, dir string, file LimitFile) string {
	data, err := os.ReadFile(filepath.Join(dir, "cgroup.controllers"))
	if err == nil && slices.Contains(strings.Fields(string(data)), file.Controller) {
		return fmt.Sprintf("systemd ignores it: this kernel's %s controller has no %s", file.Controller, file.Name)
	}
	return d.noController(ctx, file.Controller)
}

// noController says why a limit isn't enforced, and what mends that.
func (d *Driver) noController(_ context.Context, controller string) string {
	switch {
	case d.cgroupMount() == "":
		return "systemd ignores it: cgroup v2 isn't mounted on this machine"
	case d.scope.user && d.kernelHas(controller):
		return fmt.Sprintf("systemd ignores it: the %s controller isn't delegated to this user's manager; reconciler doctor says how to", controller)
	default:
		return fmt.Sprintf("systemd ignores it: this machine has no %s controller in cgroup v2", controller)
	}
}

// processes are those in a unit's cgroup and the cgroups below it.
func (d *Driver) processes(ctx context.Context, f *finding) ([]int, error) {
	mount := d.cgroupMount()
	if mount == "" || f.stamp() == nil {
		return nil, nil
	}
	path, err := d.cgroupOf(ctx, f.unit, &f.stamp().Spec)
	if err != nil {
		return nil, err
	}
	return processesIn(filepath.Join(mount, path), true)
}

// emptyLimit is how long the last processes of a stopped unit may take to go.
const emptyLimit = 5 * time.Second

// awaitEmpty waits until no process of a stopped unit is left. systemd has seen to that; what hangs in the kernel is named.
func (d *Driver) awaitEmpty(ctx context.Context, f *finding) error {
	deadline := time.Now().Add(emptyLimit)
	tick := time.NewTicker(10 * time.Millisecond)
	defer tick.Stop()
	for {
		pids, err := d.processes(ctx, f)
		if err != nil || len(pids) == 0 {
			return err
		}
		if time.Now().After(deadline) {
			return fmt.Errorf("processes %v are left of it though systemd killed them: they hang in the kernel, perhaps for a disk or a network file system", pids)
		}
		select {
		case <-tick.C:
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}

// inManifest writes what a file of a cgroup says as a manifest has it.
func inManifest(field, text string) string {
	n, err := strconv.ParseInt(strings.TrimPrefix(text, "default "), 10, 64)
	switch field {
	case "spec.cgroup.cpuLimit":
		var quota, period int64
		if _, err := fmt.Sscanf(text, "%d %d", &quota, &period); err == nil && period > 0 {
			return spec.CPU((quota*1000 + period/2) / period).String()
		}
		return "infinity"
	case "spec.cgroup.memoryLimit", "spec.cgroup.memoryHigh":
		if err == nil {
			return spec.Bytes(n).String()
		}
	default:
		if err == nil {
			return strconv.FormatInt(n, 10)
		}
	}
	if text == "max" {
		return "infinity"
	}
	return text
}
