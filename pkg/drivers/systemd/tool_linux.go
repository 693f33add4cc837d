package systemd

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"time"

	"reconciler.dev/reconciler/internal/atomicfile"
)

// self is the program that runs, whatever has become of its file since.
const self = "/proc/self/exe"

// toolPath is where units find this program: a copy of it beside the state, which stays when the program is moved, replaced or removed.
func (d *Driver) toolPath() string { return filepath.Join(d.dirs.State, "bin", "reconciler") }

// keepTool makes the copy that units call this very program, unless it is. It is known by size and time of the last change, which a copy keeps.
func (d *Driver) keepTool() error {
	d.tool.Lock()
	defer d.tool.Unlock()
	path := d.toolPath()
	ours, err := os.Stat(self)
	if err != nil {
		return fmt.Errorf("look at the own program: %w", err)
	}
	switch have, err := os.Stat(path); {
	case err == nil && have.Size() == ours.Size() && have.ModTime().Equal(ours.ModTime()):
		return nil
	case err != nil && !errors.Is(err, fs.ErrNotExist):
		return fmt.Errorf("look at the copy of this program that units call: %w", err)
	}
	content, err := os.ReadFile(self)
	if err == nil {
		err = atomicfile.MkdirAll(filepath.Dir(path), 0o755, atomicfile.Durable)
	}
	if err == nil {
		err = atomicfile.Write(path, content, 0o755, atomicfile.Durable)
	}
	if err == nil {
		err = os.Chtimes(path, time.Time{}, ours.ModTime())
	}
	if err != nil {
		return fmt.Errorf("copy this program to where units call it: %w", err)
	}
	return nil
}

// nearest is the path itself, or the first directory above it that is there.
func nearest(path string) string {
	for path != "/" && path != "." {
		if _, err := os.Lstat(path); err == nil {
			return path
		}
		path = filepath.Dir(path)
	}
	return path
}
