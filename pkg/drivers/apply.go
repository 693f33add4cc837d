package drivers

import (
	"context"
	"fmt"
	"regexp"
	"strings"
	"time"

	"reconciler.dev/reconciler/internal/layout"
	"reconciler.dev/reconciler/internal/post"
	"reconciler.dev/reconciler/pkg/spec"
)

// Verbs are what a driver does for each verb of a step, under the daemon's lock.
type Verbs map[spec.Verb]func(context.Context, spec.Step) error

// Apply does one step under the daemon's lock, which it waits for until ctx ends. A step that no driver can do touches nothing. Errors say which verb and which daemon.
func (v Verbs) Apply(ctx context.Context, kind spec.DriverKind, dirs layout.Dirs, step spec.Step) error {
	if err := v.apply(ctx, kind, dirs, step); err != nil {
		return fmt.Errorf("%s daemon %s: %w", strings.ToLower(string(step.Verb)), step.Name, err)
	}
	return nil
}

func (v Verbs) apply(ctx context.Context, kind spec.DriverKind, dirs layout.Dirs, step spec.Step) error {
	do := v[step.Verb]
	switch {
	case do == nil:
		return fmt.Errorf("the %s driver has no such step: %w", kind, ErrUnsupported)
	case !GoodName(step.Name):
		return fmt.Errorf("%q is no name of a daemon: %w", step.Name, ErrPermanent)
	case step.Verb == spec.VerbAdopt && (step.Adopt == nil || step.Want == nil):
		return fmt.Errorf("the step doesn't say what is to be taken over: %w", ErrPermanent)
	case step.Want == nil && (step.Verb == spec.VerbStart || step.Verb == spec.VerbStamp || step.Verb == spec.VerbReload):
		return fmt.Errorf("the step says nothing of what is wanted: %w", ErrPermanent)
	}
	lock, err := LockName(ctx, dirs, step.Name)
	if err != nil {
		return err
	}
	defer lock.Release()
	return do(ctx, step)
}

var goodName = regexp.MustCompile(`^[a-z0-9]([a-z0-9.-]{0,61}[a-z0-9])?(_1)?$`)

// GoodName tells whether a daemon, or the second copy of one (see spec.SecondName), may have that name. It may be part of a path then.
func GoodName(name string) bool { return goodName.MatchString(name) }

// reloadTime is what a daemon may take to answer a reload.
const reloadTime = 30 * time.Second

// Reload has a daemon that runs read its files again, as its spec says: by a POST to its URL, or by the signal, which send sends to its main process. A spec that says neither is an
// error that wraps ErrPermanent.
func Reload(ctx context.Context, s *spec.Spec, send func(spec.Signal) error) error {
	switch r := s.Reload; {
	case r == nil:
		return fmt.Errorf("the spec doesn't say how it reloads: %w", ErrPermanent)
	case r.URL != "":
		return ReloadByURL(ctx, r.URL)
	case len(r.Exec) > 0:
		return fmt.Errorf("a reload by a command isn't for the driver: %w", ErrUnsupported)
	default:
		return send(r.Signal)
	}
}

// ReloadByURL posts to a daemon's reload URL, and gives it half a minute to answer.
func ReloadByURL(ctx context.Context, url string) error {
	ctx, cancel := context.WithTimeout(ctx, reloadTime)
	defer cancel()
	return post.To(ctx, url)
}
