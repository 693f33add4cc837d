package process

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"time"

	"reconciler.dev/reconciler/internal/failpoint"
	"reconciler.dev/reconciler/internal/pidfd"
	"reconciler.dev/reconciler/pkg/drivers"
	"reconciler.dev/reconciler/pkg/spec"
)

// stamp writes the stamp, puts changed limits in force, and touches no process.
func (d *Driver) stamp(_ context.Context, step spec.Step) error {
	f, err := d.settle(step.Name, d.trees.Marks)
	if err != nil {
		return err
	}
	if err := checkMoved(step, f.rec); err != nil {
		return err
	}
	next := record{Name: step.Name}
	if f.rec != nil {
		next = *f.rec
	}
	next.Stamp = drivers.NewStamp(step, next.Stamp, time.Now())
	if f.alive {
		if err := d.refuseLosses(step.Want); err != nil {
			return err
		}
		if err := d.trees.Limit(next.tree(), &Mark{Stamp: next.Stamp, Instance: next.Instance}); err != nil {
			return err
		}
		failpoint.Hit(failpoint.StampLimited)
	}
	return d.store.write(&next)
}

// reload makes the main process reread its files.
func (d *Driver) reload(ctx context.Context, step spec.Step) error {
	f, err := d.settle(step.Name, d.trees.Marks)
	if err != nil {
		return err
	}
	if err := checkMoved(step, f.rec); err != nil {
		return err
	}
	if !f.alive {
		return fmt.Errorf("there is no process to reload: %w", drivers.ErrMoved)
	}
	r := step.Want.Spec.Reload
	switch {
	case r == nil:
		return fmt.Errorf("the spec doesn't say how it reloads: %w", drivers.ErrPermanent)
	case r.URL != "":
		ctx, cancel := context.WithTimeout(ctx, reloadLimit)
		defer cancel()
		return d.post(ctx, r.URL)
	}
	signal, err := number(r.Signal)
	if err != nil {
		return err
	}
	fd, err := pidfd.Open(f.rec.Instance.PID)
	if err != nil {
		return fmt.Errorf("%w: %w", err, drivers.ErrMoved)
	}
	defer fd.Close()
	if live, err := same(fd, f.rec.Instance); !live || err != nil {
		return errors.Join(fmt.Errorf("process %d ended meanwhile: %w", f.rec.Instance.PID, drivers.ErrMoved), err)
	}
	return fd.Signal(signal)
}

// remove forgets a daemon that has ended. The lock file stays: to remove it would let two processes hold the same lock.
func (d *Driver) remove(_ context.Context, step spec.Step) error {
	f, err := d.settleTree(step.Name, d.trees.Marks)
	if err != nil || f.rec == nil {
		return err
	}
	if err := checkMoved(step, f.rec); err != nil {
		return err
	}
	if f.alive || len(f.strays) > 0 {
		return fmt.Errorf("it is running: stop it first: %w", drivers.ErrMoved)
	}
	if f.rec.Instance != nil {
		if err := d.trees.Remove(f.rec.tree()); err != nil { // before the record: what is found without one is taken for a daemon whose record is lost
			return err
		}
	}
	failpoint.Hit(failpoint.RemoveRecord)
	if err := d.store.remove(step.Name); err != nil {
		return err
	}
	d.strays.forgetInstance(f.rec.Instance)
	failpoint.Hit(failpoint.RecordRemoved)
	return nil
}

const (
	reloadLimit = 10 * time.Second
	// maxAnswer is how much of an answer is read before the connection is closed.
	maxAnswer = 64 << 10
)

// errRefused is a POST that reached nobody, or whose answer says no.
var errRefused = errors.New("refused")

// newClient returns a client that goes where it is told: through no proxy, after no redirect.
func newClient() *http.Client {
	return &http.Client{
		Transport:     &http.Transport{DisableKeepAlives: true, DialContext: (&net.Dialer{Timeout: 5 * time.Second}).DialContext},
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	}
}

// post sends an empty POST and wants an answer of 200 to 299.
func (d *Driver) post(ctx context.Context, url string) error {
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, url, nil)
	if err != nil {
		return fmt.Errorf("%w: %w", err, errRefused)
	}
	resp, err := d.http.Do(req)
	var dial *net.OpError
	switch {
	case errors.As(err, &dial) && dial.Op == "dial":
		return fmt.Errorf("%w: %w", err, errRefused)
	case err != nil:
		return err
	}
	defer resp.Body.Close()
	io.CopyN(io.Discard, resp.Body, maxAnswer) // only to let the daemon finish writing; its status was the answer
	if resp.StatusCode < 200 || resp.StatusCode > 299 {
		return fmt.Errorf("POST %s: it answered %s: %w", req.URL.Redacted(), resp.Status, errRefused)
	}
	return nil
}
