package programs

import (
	"context"
	"errors"
	"fmt"
	"io"
	"strings"
	"testing"

	"reconciler.dev/reconciler/internal/build"
	"reconciler.dev/reconciler/pkg/drivers"
	"reconciler.dev/reconciler/pkg/drivers/driverstest"
	"reconciler.dev/reconciler/pkg/spec"
)

// farHost is a host that builds: of any inputs it makes a program of which the digest is that of the command and the inputs.
type farHost struct {
	*driverstest.Host
	made   map[string]bool
	cc     string // which compiler it has
	builds int
	fail   error
	blind  error // why it can't tell its compiler
}

func newFarHost() *farHost {
	return &farHost{Host: driverstest.NewHost(), made: map[string]bool{}, cc: "cc 1"}
}

func (*farHost) Name() string { return "gpu-1" }

func (h *farHost) Build(ctx context.Context, job spec.BuildJob, out io.Writer) (spec.BuildResult, error) {
	program := fmt.Appendf(nil, "%q of %s%s", job.Command, job.Inputs, h.cc)
	r := spec.BuildResult{Digest: driverstest.ContentDigest(program), Size: int64(len(program)), Took: 1, Compiler: spec.Compiler{Path: "/usr/bin/cc", Digest: h.cc}}
	if h.made[r.Digest] && !job.Force {
		return r, nil
	}
	if _, whole, err := h.Stored(ctx, job.Inputs); err != nil || !whole {
		return r, fmt.Errorf("find its inputs: %w", errors.Join(err, drivers.ErrNotFound))
	}
	h.builds++
	fmt.Fprintln(out, "compiling there")
	if h.fail != nil {
		return spec.BuildResult{}, h.fail
	}
	h.made[r.Digest], r.Built = true, true
	return r, h.Store(ctx, r.Digest, r.Size, 0, strings.NewReader(string(program)))
}

func (h *farHost) Compiler(context.Context, spec.BuildJob) (spec.Compiler, error) {
	return spec.Compiler{Path: "/usr/bin/cc", Digest: h.cc}, h.blind
}

const buildsThere = `  host: gpu-1
  build: {command: [cc-of-that-host], dir: src, inputs: ["*.c"], output: worker, on: host}
`

func TestAHostBuildsForItself(t *testing.T) {
	b, h := newBench(t), newFarHost()
	m := b.manifest("worker", buildsThere)
	there := func(p Purpose) *spec.Program {
		t.Helper()
		found, err := b.Begin(p).There(t.Context(), h, m, b.dir)
		if err != nil {
			t.Fatal(err)
		}
		return found
	}
	blind, err := b.Begin(Make).Find(t.Context(), "gpu-1", m, b.dir)
	if err != nil || blind.Digest != "" || blind.Stale == "" || blind.Build == "" {
		t.Errorf("before it is reached: %+v, %v", blind, err)
	}
	if p := there(Look); p.Digest != "" || p.Stale != "it was never built there from here" || p.Build != blind.Build || h.builds != 0 {
		t.Errorf("a look: %+v", p)
	}
	made := there(Make)
	if made.Digest == "" || made.Stale != "" || made.Open != nil || made.Build != blind.Build || h.builds != 1 {
		t.Errorf("made: %+v", made)
	}
	if b.printed.String() != "compiling there\n" || b.closed != 1 {
		t.Errorf("printed %q, closed %d times", b.printed.String(), b.closed)
	}
	for range 2 {
		if p := there(Make); p.Digest != made.Digest || h.builds != 1 {
			t.Errorf("again: %+v, after %d builds", p, h.builds)
		}
	}
	if p := there(Look); p.Digest != made.Digest || p.Stale != "" {
		t.Errorf("a look: %+v", p)
	}
	b.write("src/main.c", "two")
	if p := there(Look); p.Digest != "" || p.Stale != "main.c changed" {
		t.Errorf("a look after a change: %+v", p)
	}
	if p := there(Make); p.Digest == made.Digest || h.builds != 2 {
		t.Errorf("after a change: %+v", p)
	}
	if there(Remake); h.builds != 3 {
		t.Errorf("by force: %d builds", h.builds)
	}
	h.cc = "cc 2"
	if p := there(Look); p.Digest != "" || p.Stale != "/usr/bin/cc changed" || h.builds != 3 {
		t.Errorf("a look after the compiler changed: %+v", p)
	}
	h.blind = fmt.Errorf("what is a compiler? %w", drivers.ErrUnsupported)
	if p := there(Look); p.Digest == "" || p.Stale != "" {
		t.Errorf("a look at a host that can't tell: %+v", p)
	}
	h.blind = errors.New("there is no cc")
	if p, err := b.Begin(Look).There(t.Context(), h, m, b.dir); !errors.Is(err, h.blind) || !strings.Contains(err.Error(), "gpu-1") {
		t.Errorf("a look at a host without the compiler: %+v, %v", p, err)
	}
	if h.blind = nil; there(Make).Digest == made.Digest || h.builds != 4 {
		t.Errorf("after the compiler changed: %d builds", h.builds)
	}
	if p := there(Look); p.Stale != "" {
		t.Errorf("a look after that: %+v", p)
	}
	h.Host = driverstest.NewHost()
	if p := there(Look); !strings.Contains(p.Stale, "any more") {
		t.Errorf("a host that lost all: %+v", p)
	}
}

// TestWhatIsBuiltHereIsBuiltHere, also for a host that is reached.
func TestWhatIsBuiltHereIsBuiltHere(t *testing.T) {
	b, h := newBench(t), newFarHost()
	p, err := b.Begin(Make).There(t.Context(), h, b.manifest("worker", builds), b.dir)
	b.has(p, err, "one")
	if h.builds != 0 {
		t.Error("the host built it")
	}
}

// TestARunDoesNotTryAgainAtOnce what failed on a host, before something changed.
func TestARunDoesNotTryAgainAtOnce(t *testing.T) {
	b, h := newBench(t, func(o *Options) { o.Shop = build.NewShop(o.Builder) }), newFarHost()
	m := b.manifest("worker", buildsThere)
	h.fail = errors.New("it doesn't compile")
	for range 3 {
		if _, err := b.Begin(Make).There(t.Context(), h, m, b.dir); !errors.Is(err, h.fail) || !strings.Contains(err.Error(), "gpu-1") {
			t.Errorf("%v", err)
		}
	}
	b.write("src/main.c", "mended")
	why := h.fail
	h.fail = nil
	if _, err := b.Begin(Make).There(t.Context(), h, m, b.dir); err != nil || h.builds != 2 {
		t.Errorf("%v after %d builds, and %v before", err, h.builds, why)
	}
}
