package systemd

import (
	"context"
	"os"
	"path/filepath"

	"reconciler.dev/reconciler/internal/selfcopy"
)

// toolPath is where units find this program: a copy of it beside the state, which stays when the program is moved, replaced or removed.
func (d *Driver) toolPath() string { return d.dirs.Tool() }

// keepTool makes the copy that units call this very program, unless it is.
func (d *Driver) keepTool(ctx context.Context) error {
	d.tool.Lock()
	defer d.tool.Unlock()
	return selfcopy.Keep(ctx, d.toolPath())
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
