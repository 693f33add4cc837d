package systemd

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"

	"reconciler.dev/reconciler/internal/atomicfile"
	"reconciler.dev/reconciler/pkg/drivers"
)

// InstallService writes s as the unit ServiceName of the manager that Options lead to, enables it, and starts it, or restarts it where it was changed. The error wraps
// drivers.ErrUnsupported where there is no such manager, and drivers.ErrConflict where somebody else wrote a unit of that name: nothing is touched then.
func InstallService(ctx context.Context, o Options, s Service) (Installed, error) {
	done := Installed{Action: "unchanged"}
	d, l, err := serviceManager(ctx, o)
	if err != nil {
		return done, fmt.Errorf("install %s: %w", ServiceName, err)
	}
	defer d.Close()
	have, err := d.ownService()
	if err != nil {
		return done, fmt.Errorf("install %s: %w", ServiceName, err)
	}
	f, err := d.facts(ctx)
	if err != nil {
		return done, fmt.Errorf("install %s: %w", ServiceName, err)
	}
	s.User, s.Version, done.Path = f.User, f.Version, d.scope.file(ServiceName)
	text, err := s.Text()
	if err != nil {
		return done, err
	}
	switch {
	case have == nil:
		done.Action = "created"
	case !bytes.Equal(have, text):
		done.Action = "configured"
	}
	if err := d.putService(ctx, l, text, done.Action != "unchanged"); err != nil {
		return done, fmt.Errorf("install %s: %w", ServiceName, err)
	}
	return done, nil
}

// ServiceText is the unit that InstallService would write.
func ServiceText(ctx context.Context, o Options, s Service) ([]byte, error) {
	d, _, err := serviceManager(ctx, o)
	if errors.Is(err, drivers.ErrUnsupported) {
		s.User = os.Geteuid() != 0
		return s.Text()
	}
	if err != nil {
		return nil, fmt.Errorf("show %s: %w", ServiceName, err)
	}
	defer d.Close()
	f, err := d.facts(ctx)
	if err != nil {
		return nil, fmt.Errorf("show %s: %w", ServiceName, err)
	}
	s.User, s.Version = f.User, f.Version
	return s.Text()
}

// putService makes text the unit, enabled and running.
func (d *Driver) putService(ctx context.Context, l *link, text []byte, changed bool) error {
	if changed {
		path := d.scope.file(ServiceName)
		if err := atomicfile.MkdirAll(filepath.Dir(path), 0o755, atomicfile.Durable); err != nil {
			return err
		}
		if err := atomicfile.Write(path, text, 0o644, atomicfile.Durable); err != nil {
			return err
		}
	}
	if err := d.enable(ServiceName); err != nil {
		return err
	}
	if err := d.reread(ctx, l, ServiceName); err != nil {
		return err
	}
	method := "StartUnit"
	if changed {
		method = "RestartUnit"
	}
	out, err := l.job(ctx, method, ServiceName)
	switch {
	case err != nil:
		return err
	case out.result != "done":
		return fmt.Errorf("it is installed, and its start ended as %q%s; systemd tries again, and systemctl status %s says more", out.result, d.lastWords(ctx, ServiceName, out.facts.Invocation), ServiceName)
	}
	return nil
}

// RemoveService stops, disables and removes what InstallService installed, and says whether there was something. What somebody else wrote is a drivers.ErrConflict.
func RemoveService(ctx context.Context, o Options) (removed bool, err error) {
	d, l, err := serviceManager(ctx, o)
	if err != nil {
		return false, fmt.Errorf("remove %s: %w", ServiceName, err)
	}
	defer d.Close()
	have, err := d.ownService()
	if err != nil || have == nil {
		return false, wrapRemove(err)
	}
	if _, err := l.job(ctx, "StopUnit", ServiceName); err != nil && !said(err, "NoSuchUnit") {
		return false, wrapRemove(err)
	}
	for _, path := range []string{filepath.Join(d.scope.wants, ServiceName), d.scope.file(ServiceName)} {
		if err := atomicfile.Remove(path, atomicfile.Durable); err != nil {
			return false, wrapRemove(err)
		}
	}
	return true, wrapRemove(d.forget(ctx, l, ServiceName))
}

func wrapRemove(err error) error {
	if err == nil {
		return nil
	}
	return fmt.Errorf("remove %s: %w", ServiceName, err)
}

func serviceManager(ctx context.Context, o Options) (*Driver, *link, error) {
	d, err := New(o)
	if err != nil {
		return nil, nil, err
	}
	l, err := d.bus.get(ctx)
	return d, l, err
}

// ownService returns the unit that is installed, nil where there is none. The error wraps drivers.ErrConflict where somebody else has that name.
func (d *Driver) ownService() ([]byte, error) {
	for _, dir := range d.scope.dirs() {
		path := filepath.Join(dir, ServiceName)
		if dir == d.scope.units {
			continue
		}
		if _, err := os.Lstat(path); err == nil {
			return nil, fmt.Errorf("%s is there, and isn't ours; remove it first, or keep the run in a unit of another name: %w", path, drivers.ErrConflict)
		}
	}
	path := d.scope.file(ServiceName)
	if _, err := os.Lstat(path); os.IsNotExist(err) {
		return nil, nil
	}
	text, err := os.ReadFile(path)
	switch {
	case err != nil:
		return nil, fmt.Errorf("look at %s: %w: %w", path, err, drivers.ErrConflict)
	case !IsService(text):
		return nil, fmt.Errorf("%s is there, and install-service didn't write it; remove it first, or keep the run in a unit of another name: %w", path, drivers.ErrConflict)
	}
	return text, nil
}

// Version is that of the manager, as in 252.
func (d *Driver) Version(ctx context.Context) (int, error) {
	f, err := d.facts(ctx)
	return f.Version, err
}
