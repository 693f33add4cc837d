package programs

import (
	"context"
	"errors"
	"fmt"
	"os"
	"time"

	"reconciler.dev/reconciler/internal/build"
	"reconciler.dev/reconciler/pkg/drivers"
	"reconciler.dev/reconciler/pkg/spec"
)

// retryThere is how soon a build that failed on a host is tried again by a run, though nothing changed.
const retryThere = time.Minute

// failure is a build that failed on a host.
type failure struct {
	digest string
	err    error
	at     time.Time
}

// There is Find for a host that is reached, and isn't this machine: what is to be built there is built there, from files that are sent.
func (r *Round) There(ctx context.Context, h drivers.Host, m *spec.Manifest, dir string) (*spec.Program, error) {
	if !onHost(m, h.Name()) {
		return r.Find(ctx, h.Name(), m, dir)
	}
	f := r.findThere(ctx, h, m, dir)
	return f.program, f.err
}

// BuildThere is Build on a host that is reached.
func (r *Round) BuildThere(ctx context.Context, h drivers.Host, m *spec.Manifest, dir string) Result {
	f := r.findThere(ctx, h, m, dir)
	res := Result{Daemon: m.Metadata.Name, Built: f.state.Built, Took: f.state.Took, Err: f.err}
	if f.err == nil {
		res.Digest = f.program.Digest
	}
	return res
}

// elsewhere is a program that is built on a host which isn't reached: all that is known is what it is built from.
func (r *Round) elsewhere(ctx context.Context, m *spec.Manifest, dir string) (*spec.Program, error) {
	e, err := r.m.o.Builder.LookElsewhere(ctx, jobOf(m, dir), "")
	if err != nil {
		return nil, err
	}
	return &spec.Program{Build: e.Digest, Stale: "it is built on its host"}, nil
}

// findThere finds each program once for each host.
func (r *Round) findThere(ctx context.Context, h drivers.Host, m *spec.Manifest, dir string) *finding {
	return r.once(ctx, h.Name()+"\x00"+m.Metadata.Name+"\x00"+keyOf(m, dir), func(f *finding) {
		j := jobOf(m, dir)
		e, err := r.m.o.Builder.LookElsewhere(ctx, j, h.Name())
		if err != nil {
			f.err = err
			return
		}
		f.program = &spec.Program{Build: e.Digest}
		if r.purpose == Look {
			f.err = r.lookThere(ctx, h, j, e, f.program)
			return
		}
		key := h.Name() + "\x00" + m.Metadata.Name
		if f.err = r.m.failedThere(key, e.Digest); f.err != nil {
			return
		}
		if f.err = r.makeThere(ctx, h, j, e, f); f.err != nil && ctx.Err() == nil && !errors.Is(f.err, drivers.ErrUnreachable) {
			r.m.noteFailed(key, failure{e.Digest, f.err, time.Now()})
		}
	})
}

// lookThere fills in what is known without building.
func (r *Round) lookThere(ctx context.Context, h drivers.Host, j build.Job, e build.Elsewhere, p *spec.Program) error {
	if p.Stale = e.Due; p.Stale != "" {
		return nil
	}
	compiler, err := drivers.CompilerOn(ctx, h, spec.BuildJob{Name: j.Name, Command: j.Command, Env: j.Env, Output: j.Output})
	switch {
	case errors.Is(err, drivers.ErrUnsupported): // an older agent, which can't tell
	case err != nil:
		return fmt.Errorf("on host %s: %w", h.Name(), err)
	default:
		if p.Stale = e.Recompiled(build.File{Path: compiler.Path, Digest: compiler.Digest}); p.Stale != "" {
			return nil
		}
	}
	_, whole, err := h.Stored(ctx, e.Program.Digest)
	switch {
	case err != nil:
		return err
	case !whole:
		p.Stale = "the host hasn't got what was built there any more"
		return nil
	}
	p.Digest, p.Size = e.Program.Digest, e.Program.Size
	return nil
}

// makeThere has the host build where that is due, which it knows best, and sends it what it needs for that and hasn't got.
func (r *Round) makeThere(ctx context.Context, h drivers.Host, j build.Job, e build.Elsewhere, f *finding) error {
	packed, err := r.m.o.Builder.PackInputs(ctx, j)
	if err != nil {
		return err
	}
	defer os.Remove(packed.Path)
	job := spec.BuildJob{Name: j.Name, Command: j.Command, Env: j.Env, Output: j.Output, Timeout: j.Timeout, Inputs: packed.Digest, Force: r.purpose == Remake}
	out := &printing{m: r.m, j: j}
	defer out.close()
	res, err := drivers.BuildOn(ctx, h, job, out)
	if errors.Is(err, drivers.ErrNotFound) {
		r.m.o.Tell(j.Name, fmt.Sprintf("building %s on %s: %s", j.Output, h.Name(), because(e.Due)))
		if err := drivers.SendProgram(ctx, h, &spec.Program{Digest: packed.Digest, Size: packed.Size, Open: opener(packed.Path)}); err != nil {
			return fmt.Errorf("send what %s is built from to %s: %w", j.Name, h.Name(), err)
		}
		res, err = drivers.BuildOn(ctx, h, job, out)
	}
	if err != nil {
		return fmt.Errorf("on host %s: %w", h.Name(), err)
	}
	if res.Built {
		r.m.o.Tell(j.Name, fmt.Sprintf("built %s on %s in %s", j.Output, h.Name(), res.Took.Round(time.Millisecond)))
	}
	f.program.Digest, f.program.Size = res.Digest, res.Size
	f.state = build.State{Built: res.Built, Took: res.Took}
	return r.m.o.Builder.NoteElsewhere(j, h.Name(), e, build.File{Digest: res.Digest, Size: res.Size}, build.File{Path: res.Compiler.Path, Digest: res.Compiler.Digest}, res.Took)
}

// because is why a host builds something of which nothing is known here that changed.
func because(due string) string {
	if due == "" {
		return "it has nothing that was built from this"
	}
	return due
}

// failedThere is what a run's build on a host came to a moment ago, of the same; nil for nothing.
func (m *Maker) failedThere(key, digest string) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	if last := m.failed[key]; m.o.Shop != nil && last.digest == digest && time.Since(last.at) < retryThere {
		return last.err
	}
	return nil
}

func (m *Maker) noteFailed(key string, f failure) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.failed[key] = f
}
