package remote

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"reconciler.dev/reconciler/pkg/drivers"
	"reconciler.dev/reconciler/pkg/spec"
)

// handler answers one kind of call. changes says that it changes something, and so is finished though the link is lost.
type handler struct {
	changes bool
	takes   bool // it takes what the controller gives
	do      func(ctx context.Context, s *server, params json.RawMessage, w *served, id uint32) (any, error)
}

// asked makes a handler of a function of the call's parameters.
func asked[P any](changes bool, f func(ctx context.Context, s *server, p P) (any, error)) handler {
	return handler{changes: changes, do: func(ctx context.Context, s *server, params json.RawMessage, _ *served, _ uint32) (any, error) {
		var p P
		if err := unmarshal(params, &p); err != nil {
			return nil, err
		}
		return f(ctx, s, p)
	}}
}

// streamed makes a handler of a function that answers in parts.
func streamed[P any](f func(ctx context.Context, s *server, p P, part func([]byte) error) error) handler {
	return handler{do: func(ctx context.Context, s *server, params json.RawMessage, w *served, id uint32) (any, error) {
		var p P
		if err := unmarshal(params, &p); err != nil {
			return nil, err
		}
		return nil, f(ctx, s, p, func(b []byte) error { return s.part(ctx, w, id, b) })
	}}
}

func unmarshal(params json.RawMessage, p any) error {
	if len(params) == 0 {
		return nil
	}
	if err := json.Unmarshal(params, p); err != nil {
		return fmt.Errorf("read the parameters of a call: %w: %w", err, drivers.ErrPermanent)
	}
	return nil
}

// onDriver makes a handler of a function of a driver.
func onDriver(changes bool, f func(ctx context.Context, d drivers.Driver) (any, error)) handler {
	return asked(changes, func(ctx context.Context, s *server, p driverParams) (any, error) {
		d, err := s.driver(p.Driver)
		if err != nil {
			return nil, err
		}
		return f(ctx, d)
	})
}

// driver is the driver of that kind, of those that were told in the greeting.
func (s *server) driver(kind spec.DriverKind) (drivers.Driver, error) {
	ds := s.Host.Drivers()
	if i := slices.IndexFunc(ds, func(d drivers.Driver) bool { return d.Kind() == kind }); i >= 0 {
		return ds[i], nil
	}
	return nil, fmt.Errorf("find driver %s: %w", kind, drivers.ErrUnsupported)
}

// handlers are the calls that an agent answers, by their names.
func handlers() map[string]handler {
	return map[string]handler{
		"list":    onDriver(false, func(ctx context.Context, d drivers.Driver) (any, error) { return d.List(ctx) }),
		"observe": asked(false, observe),
		"housekeep": onDriver(true, func(ctx context.Context, d drivers.Driver) (any, error) {
			if h, ok := drivers.Find[drivers.Housekeeper](d); ok {
				return h.Housekeep(ctx)
			}
			return false, nil
		}),
		"apply":   asked(true, apply),
		"check":   asked(false, check),
		"inspect": asked(false, inspect),
		"watch":   streamed(watch),
		"strangers": onDriver(false, func(ctx context.Context, d drivers.Driver) (any, error) {
			if s, ok := drivers.Find[drivers.Surveyor](d); ok {
				return s.Strangers(ctx)
			}
			return nil, fmt.Errorf("the %s driver can't tell who is beside its daemons: %w", d.Kind(), drivers.ErrUnsupported)
		}),
		"probe": asked(false, func(ctx context.Context, s *server, p probeParams) (any, error) {
			return nil, s.Host.Probe(ctx, p.Name, p.Health)
		}),
		"has": asked(false, func(ctx context.Context, s *server, digest string) (any, error) { return s.Host.Has(ctx, digest) }),
		"put": asked(true, func(ctx context.Context, s *server, p putParams) (any, error) {
			return nil, s.Host.Put(ctx, p.Digest, p.Content)
		}),
		"get": asked(false, func(ctx context.Context, s *server, digest string) (any, error) { return s.Host.Get(ctx, digest) }),
		"logs": streamed(func(ctx context.Context, s *server, p logsParams, part func([]byte) error) error {
			return s.Host.Logs(ctx, p.Name, writer(part), p.Options)
		}),
		"stats": streamed(stats),
		"statuses": asked(false, func(ctx context.Context, s *server, names []string) (any, error) {
			return s.Host.Statuses(ctx, names...)
		}),
		"setstatus": asked(true, func(ctx context.Context, s *server, st spec.Status) (any, error) {
			return nil, s.Host.SetStatus(ctx, st)
		}),
		"record": asked(true, func(_ context.Context, s *server, e spec.Event) (any, error) {
			s.Host.Record(e)
			return nil, nil
		}),
		"events":   streamed(events),
		"history":  asked(false, func(ctx context.Context, s *server, name string) (any, error) { return s.Host.History(ctx, name) }),
		"archive":  asked(true, func(ctx context.Context, s *server, r spec.Revision) (any, error) { return nil, s.Host.Archive(ctx, r) }),
		"lock":     asked(false, lock),
		"unlock":   asked(false, unlock),
		"holders":  asked(false, func(ctx context.Context, s *server, _ any) (any, error) { return s.Host.Holders(ctx) }),
		"lookpath": asked(false, lookPath),
		"stored":   asked(false, stored),
		"build":    {do: buildThere},
		"compiler": asked(false, func(ctx context.Context, s *server, job spec.BuildJob) (any, error) {
			return drivers.CompilerOn(ctx, s.Host, job)
		}),
		"store": taking(store),
	}
}

// apply does a step, with the contents that were put before.
func apply(ctx context.Context, s *server, p stepParams) (any, error) {
	d, err := s.driver(p.Driver)
	if err != nil {
		return nil, err
	}
	s.begun.Add(1)
	defer s.ended.Add(1)
	step := p.Step.Step
	step.Want = p.Step.Want.unpack()
	if step.Verb == spec.VerbFiles && step.Want != nil {
		for _, digest := range p.Step.Want.Contents {
			if step.Want.Contents[digest], err = s.Host.Get(ctx, digest); err != nil {
				return nil, err
			}
		}
	}
	return nil, d.Apply(ctx, step)
}

func check(ctx context.Context, s *server, p checkParams) (any, error) {
	d, err := s.driver(p.Driver)
	if err != nil {
		return nil, err
	}
	c, ok := drivers.Find[drivers.Checker](d)
	if !ok {
		return nil, nil
	}
	return c.Check(ctx, p.Daemon.unpack())
}

func inspect(ctx context.Context, s *server, p inspectParams) (any, error) {
	d, err := s.driver(p.Driver)
	if err != nil {
		return nil, err
	}
	a, ok := drivers.Find[drivers.Adopter](d)
	if !ok || p.Daemon == nil {
		return nil, fmt.Errorf("the %s driver can't take over what runs already: %w", d.Kind(), drivers.ErrUnsupported)
	}
	return a.Inspect(ctx, p.Daemon.unpack(), p.Candidate)
}

func stats(ctx context.Context, s *server, q drivers.StatsQuery, part func([]byte) error) error {
	all, err := s.Host.Stats(ctx, q)
	var b bytes.Buffer
	for enc := json.NewEncoder(&b); err == nil && len(all) > 0; all = all[1:] {
		if err = enc.Encode(all[0]); err == nil && (b.Len() >= maxPart || len(all) == 1) {
			err = part(b.Bytes())
			b.Reset()
		}
	}
	return err
}

func events(ctx context.Context, s *server, p eventsParams, part func([]byte) error) error {
	var broken error
	err := s.Host.Events(ctx, p.Since, p.Follow, func(e spec.Event) bool {
		b, err := json.Marshal(e)
		if err == nil {
			err = part(append(b, '\n'))
		}
		broken = err
		return err == nil
	})
	return errors.Join(broken, err)
}

// lock keeps a lock until it is unlocked, or the link ends. Who asks whether its holder lives asks on this machine, where that is the agent.
func lock(ctx context.Context, s *server, p lockParams) (any, error) {
	p.Holder.PID = os.Getpid()
	release, err := s.Host.Lock(ctx, p.Set, p.Holder)
	if err != nil {
		return nil, err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.taken++
	s.locks[s.taken] = release
	return s.taken, nil
}

func unlock(_ context.Context, s *server, token int) (any, error) {
	s.mu.Lock()
	release := s.locks[token]
	delete(s.locks, token)
	s.mu.Unlock()
	if release != nil {
		release()
	}
	return nil, nil
}

// lookPath finds a program in the folders of the account's PATH, the relative ones aside, as spec.Resolve does on its own machine.
func lookPath(_ context.Context, s *server, name string) (any, error) {
	if name == "" || strings.ContainsRune(name, filepath.Separator) {
		return nil, fmt.Errorf("find program %q: this is no name: %w", name, drivers.ErrPermanent)
	}
	for _, dir := range filepath.SplitList(s.Facts.Path) {
		if !filepath.IsAbs(dir) {
			continue
		}
		path := filepath.Join(dir, name)
		if info, err := os.Stat(path); err == nil && info.Mode().IsRegular() && info.Mode()&0o111 != 0 {
			return path, nil
		}
	}
	return nil, fmt.Errorf("find program %s in %s: %w", name, s.Facts.Path, fs.ErrNotExist)
}

// writer writes parts.
type writer func([]byte) error

func (w writer) Write(b []byte) (int, error) {
	if err := w(b); err != nil {
		return 0, err
	}
	return len(b), nil
}
