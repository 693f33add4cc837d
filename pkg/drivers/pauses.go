package drivers

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"time"

	"reconciler.dev/reconciler/internal/atomicfile"
	"reconciler.dev/reconciler/internal/filewatch"
	"reconciler.dev/reconciler/internal/layout"
	"reconciler.dev/reconciler/pkg/spec"
)

// pauses remembers users' stops in State/paused/NAME.json, so that they outlive a reboot as well.
type pauses struct {
	Driver
	dirs layout.Dirs
}

func withPauses(d Driver, dirs layout.Dirs) Driver { return &pauses{d, dirs} }

// Unwrap is for Find.
func (p *pauses) Unwrap() Driver { return p.Driver }

func (p *pauses) dir() string { return filepath.Join(p.dirs.State, "paused") }

func (p *pauses) path(name string) string { return filepath.Join(p.dir(), name+".json") }

// Observe fills in Paused. Names that nobody paused cost nothing but one look at the directory.
func (p *pauses) Observe(ctx context.Context, names ...string) ([]spec.Observed, error) {
	found, err := p.Driver.Observe(ctx, names...)
	if err != nil {
		return nil, err
	}
	entries, err := os.ReadDir(p.dir())
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return nil, fmt.Errorf("look for paused daemons: %w", err)
	}
	paused := make(map[string]*spec.Pause, len(entries))
	for _, e := range entries {
		if name, ok := strings.CutSuffix(e.Name(), ".json"); ok && !atomicfile.IsTemp(e.Name()) {
			paused[name] = p.read(name)
		}
	}
	for i := range found {
		if at := paused[found[i].Name]; at != nil {
			c := *at
			found[i].Paused = &c
		}
	}
	return found, nil
}

// Watch is the driver's, and also tells of daemons that were paused or resumed: nothing happens to a process then.
func (p *pauses) Watch(ctx context.Context, changed func(name string)) error {
	ctx, cancel := context.WithCancel(ctx)
	var wg sync.WaitGroup
	defer wg.Wait()
	defer cancel()
	w := filewatch.New(filewatch.Options{Roots: []string{p.dir()}, Quiet: afterwards})
	before := p.names()
	wg.Go(func() {
		_ = w.Run(ctx, func() { // it ends only with ctx
			now := p.names()
			for name := range before {
				if !now[name] {
					changed(name)
				}
			}
			for name := range now {
				if !before[name] {
					changed(name)
				}
			}
			before = now
		})
	})
	return p.Driver.Watch(ctx, changed)
}

// names are those that are paused.
func (p *pauses) names() map[string]bool {
	entries, _ := os.ReadDir(p.dir()) // an error is found by the next look, which reads it too
	names := make(map[string]bool, len(entries))
	for _, e := range entries {
		if name, ok := strings.CutSuffix(e.Name(), ".json"); ok && !atomicfile.IsTemp(e.Name()) {
			names[name] = true
		}
	}
	return names
}

// read returns the pause of name; one that can't be read is a pause all the same, because starting what a user stopped is the worse mistake.
func (p *pauses) read(name string) *spec.Pause {
	text, err := os.ReadFile(p.path(name))
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	var at spec.Pause
	if err != nil || json.Unmarshal(text, &at) != nil {
		return &spec.Pause{By: "unreadable " + p.path(name)}
	}
	return &at
}

// Apply does Pause and Resume, and forgets the pause of what is removed.
func (p *pauses) Apply(ctx context.Context, step spec.Step) error {
	switch step.Verb {
	case spec.VerbPause:
		return p.change(ctx, step, func() error {
			o, err := observeOne(ctx, p.Driver, step.Name)
			switch {
			case err != nil:
				return err
			case step.Instance != "" && o.State == spec.Absent:
				return fmt.Errorf("it was planned against %s and there is nothing of that name: %w", instance(step.Instance), ErrMoved)
			}
			return p.write(step)
		})
	case spec.VerbResume:
		return p.change(ctx, step, func() error { return p.forget(step.Name) })
	case spec.VerbRemove:
		// The pause goes first: were it left behind by a crash, it would stop a daemon that is made later under the same name.
		err := p.change(ctx, step, func() error {
			o, err := observeOne(ctx, p.Driver, step.Name)
			if err != nil || !removable(step, o) {
				return err
			}
			return p.forget(step.Name)
		})
		if err != nil {
			return err
		}
		return p.Driver.Apply(ctx, step)
	default:
		return p.Driver.Apply(ctx, step)
	}
}

func (p *pauses) forget(name string) error {
	return atomicfile.Remove(p.path(name), atomicfile.Durable)
}

// change runs f under the name's lock.
func (p *pauses) change(ctx context.Context, step spec.Step, f func() error) error {
	lock, err := LockName(ctx, p.dirs, step.Name)
	if err != nil {
		return err
	}
	defer lock.Release()
	if err := f(); err != nil {
		return fmt.Errorf("%s daemon %s: %w", strings.ToLower(string(step.Verb)), step.Name, err)
	}
	return nil
}

func (p *pauses) write(step spec.Step) error {
	if p.read(step.Name) != nil {
		return nil
	}
	text, err := json.Marshal(spec.Pause{At: time.Now(), By: step.By})
	if err != nil {
		return err
	}
	if err := atomicfile.MkdirAll(p.dir(), 0o700, atomicfile.Durable); err != nil {
		return err
	}
	return atomicfile.Write(p.path(step.Name), text, 0o600, atomicfile.Durable)
}
