package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"
	"time"

	"reconciler.dev/reconciler/internal/web"
	"reconciler.dev/reconciler/pkg/drivers"
	"reconciler.dev/reconciler/pkg/reconcile"
	"reconciler.dev/reconciler/pkg/spec"
)

// hangs is how long a daemon that is due may wait to be looked at: longer than any platform takes to answer.
const hangs = 30 * time.Second

// Healthy is as web.View has it.
func (v *overview) Healthy() error {
	v.mu.Lock()
	defer v.mu.Unlock()
	var errs []error
	for host, l := range v.links {
		if late := l.Behind(); late > hangs {
			errs = append(errs, fmt.Errorf("%s: what is due has waited for %s: a look hangs", host, late.Round(time.Second)))
		}
	}
	return errors.Join(errs...)
}

// Ready is as web.View has it.
func (v *overview) Ready() error {
	hosts := v.Hosts()
	v.mu.Lock()
	defer v.mu.Unlock()
	if !v.loaded {
		return errors.New("the manifests aren't loaded yet")
	}
	var missing []string
	for _, h := range hosts {
		switch {
		case v.passed[h.Name]:
		case h.Reachable:
			missing = append(missing, h.Name+": not every daemon was looked at yet")
		default:
			missing = append(missing, strings.TrimSuffix(h.Name+": "+h.Why+": "+h.Message, ": "))
		}
	}
	if missing == nil {
		return nil
	}
	return errors.New(strings.Join(missing, "\n"))
}

// find returns a host that can be asked about one of its daemons.
func (v *overview) find(what, host, name string) (*shownLink, error) {
	v.mu.Lock()
	defer v.mu.Unlock()
	if _, there := v.Daemon(host, name); !there {
		return nil, fmt.Errorf("%s daemon %s on %s: %w", what, name, host, drivers.ErrNotFound)
	}
	l := v.links[host]
	if l == nil {
		return nil, fmt.Errorf("%s daemon %s on %s: %w", what, name, host, drivers.ErrUnreachable)
	}
	return l, nil
}

// Diff is as web.View has it.
func (v *overview) Diff(ctx context.Context, host, name string) (string, error) {
	l, err := v.find("compare", host, name)
	if err != nil {
		return "", err
	}
	wants := l.wants()
	i := slices.IndexFunc(wants, func(d *spec.Daemon) bool { return d.Name == name })
	if i < 0 {
		return "", nil // it is to go
	}
	r, err := l.Review(ctx, wants[i:i+1], reconcile.PruneOptions{})
	if err != nil {
		return "", err
	}
	return string(diffText([]done{{host: l.at, items: r.Items}})), nil
}

// Events is as web.View has it.
func (v *overview) Events(ctx context.Context, host, name string, n int) ([]spec.Event, error) {
	l, err := v.find("list the events of", host, name)
	if err != nil {
		return nil, err
	}
	var last []spec.Event
	err = l.host.Events(ctx, time.Time{}, false, func(e spec.Event) bool {
		if e.Name == name {
			if last = append(last, e); len(last) >= 2*n {
				last = slices.Clone(last[len(last)-n:])
			}
		}
		return true
	})
	return last[max(0, len(last)-n):], err
}

// Logs is as web.View has it.
func (v *overview) Logs(ctx context.Context, host, name string, lines int, w io.Writer) error {
	l, err := v.find("read the log of", host, name)
	if err != nil {
		return err
	}
	last := &lastBytes{most: web.LogBytes}
	if err := l.host.Logs(ctx, name, last, drivers.LogOptions{Tail: lines, Bytes: web.LogBytes}); err != nil {
		return err
	}
	_, err = w.Write(last.bytes())
	return err
}

// lastBytes keeps the end of what is written.
type lastBytes struct {
	most int
	buf  []byte
}

func (l *lastBytes) Write(p []byte) (int, error) {
	l.buf = append(l.buf, p[max(0, len(p)-l.most):]...)
	if len(l.buf) > 2*l.most {
		l.buf = append(l.buf[:0], l.bytes()...)
	}
	return len(p), nil
}

func (l *lastBytes) bytes() []byte { return l.buf[max(0, len(l.buf)-l.most):] }
