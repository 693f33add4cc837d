package local

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"

	"reconciler.dev/reconciler/pkg/drivers"
	"reconciler.dev/reconciler/pkg/spec"
)

// Logs copies the last lines of a daemon's log.
func (h *Host) Logs(ctx context.Context, daemon string, w io.Writer, opts drivers.LogOptions) error {
	path, err := h.logPath(ctx, daemon)
	if err != nil {
		return err
	}
	b, err := os.ReadFile(path)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return fmt.Errorf("read the log of daemon %s: %w", daemon, err)
	}
	lines := strings.SplitAfter(strings.TrimSuffix(string(b), "\n"), "\n")
	if opts.Tail >= 0 {
		lines = lines[max(0, len(lines)-opts.Tail):]
	}
	_, err = io.WriteString(w, strings.Join(lines, "")+"\n")
	return err
}

// logPath is the file that the daemon's stamp names.
func (h *Host) logPath(ctx context.Context, daemon string) (string, error) {
	for _, d := range h.drivers {
		found, err := d.Observe(ctx, daemon)
		if err != nil {
			return "", err
		}
		switch o := found[0]; {
		case o.State == spec.Unknown:
			return "", fmt.Errorf("find the log of daemon %s on %s: %s: %w", daemon, h.Name(), o.Message, drivers.ErrUnreachable)
		case o.Stamp != nil && o.Stamp.Spec.Log.Path != "":
			return o.Stamp.Spec.Log.Path, nil
		case o.Stamp != nil:
			return filepath.Join(h.dirs.Log, daemon+".log"), nil
		}
	}
	return "", fmt.Errorf("find the log of daemon %s on %s: %w", daemon, h.Name(), drivers.ErrNotFound)
}
