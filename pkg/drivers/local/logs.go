package local

import (
	"context"
	"fmt"
	"io"
	"os"
	"path/filepath"

	"reconciler.dev/reconciler/internal/logfile"
	"reconciler.dev/reconciler/pkg/drivers"
	"reconciler.dev/reconciler/pkg/spec"
)

// Logs copies what a daemon wrote to w as it stands, rotated files first; or has the driver copy it, where that keeps it elsewhere. Whoever shows it to a terminal makes it harmless.
//
// With opts.Since it begins at the first line that tells, at its head, a time of Since or later: see logfile.Reader.Since for the forms. Where no line
// tells a time it begins with the running instance if that one was started before Since, and else with all there is.
//
// A daemon that is gone still has its log, where it was at the usual place.
func (h *Host) Logs(ctx context.Context, daemon string, w io.Writer, opts drivers.LogOptions) error {
	if err := h.logs(ctx, daemon, w, opts); err != nil {
		return fmt.Errorf("logs of daemon %s on %s: %w", daemon, h.Name(), err)
	}
	return nil
}

func (h *Host) logs(ctx context.Context, daemon string, w io.Writer, opts drivers.LogOptions) error {
	path, instance, keeper, err := h.findLog(ctx, daemon)
	if err != nil {
		return err
	}
	if keeper != nil {
		if handled, err := keeper.Logs(ctx, daemon, w, opts); handled || err != nil {
			return err
		}
	}
	r, err := logfile.Open(path)
	if err != nil {
		return err
	}
	defer r.Close()
	begin, end, err := r.Span()
	if err != nil {
		return err
	}
	if opts.Previous {
		if instance == nil || instance.Last == nil {
			return fmt.Errorf("there was no instance before this one: %w", drivers.ErrNotFound)
		}
		begin, end = max(begin, instance.LastLogStart), min(end, instance.LogStart)
	}
	if begin, err = beginning(r, begin, end, instance, opts); err != nil {
		return err
	}
	r.GoTo(begin)
	if opts.Follow && !opts.Previous {
		return r.Follow(ctx, w)
	}
	_, err = io.Copy(w, &cancellable{ctx.Err, io.LimitReader(r, max(0, end-begin))})
	return err
}

// beginning is where between begin and end the wanted lines begin.
func beginning(r *logfile.Reader, begin, end int64, instance *spec.Instance, opts drivers.LogOptions) (int64, error) {
	if !opts.Since.IsZero() {
		at, timed, err := r.Since(begin, end, opts.Since)
		switch {
		case err != nil:
			return 0, err
		case timed:
			begin = at
		case instance != nil && !opts.Previous && opts.Since.After(instance.StartedAt):
			begin = max(begin, instance.LogStart)
		}
	}
	if opts.Bytes > 0 {
		begin = max(begin, end-opts.Bytes)
	}
	if opts.Tail < 0 {
		return begin, nil
	}
	return r.Tail(begin, end, opts.Tail)
}

// findLog returns the file that the daemon's stamp names, its instance, and the driver where that may keep its output elsewhere.
func (h *Host) findLog(ctx context.Context, daemon string) (string, *spec.Instance, drivers.Logger, error) {
	usual := filepath.Join(h.dirs.Log, daemon+".log")
	for _, d := range h.drivers {
		found, err := d.Observe(ctx, daemon)
		if err != nil {
			return "", nil, nil, err
		}
		keeper, _ := drivers.Find[drivers.Logger](d)
		switch o := found[0]; {
		case o.State == spec.Unknown && o.Stamp == nil:
			return "", nil, nil, fmt.Errorf("it can't be looked at: %s: %w", o.Message, drivers.ErrUnreachable)
		case o.Stamp != nil && o.Stamp.Spec.Log.Path != "":
			return o.Stamp.Spec.Log.Path, o.Instance, keeper, nil
		case o.Stamp != nil:
			return usual, o.Instance, keeper, nil
		}
	}
	if _, err := os.Lstat(usual); err == nil {
		return usual, nil, nil, nil
	}
	return "", nil, nil, fmt.Errorf("there is no such daemon, and no %s: %w", usual, drivers.ErrNotFound)
}

// cancellable ends a copy when err returns one.
type cancellable struct {
	err func() error
	r   io.Reader
}

func (c *cancellable) Read(p []byte) (int, error) {
	if err := c.err(); err != nil {
		return 0, err
	}
	return c.r.Read(p)
}
