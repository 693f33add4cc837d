package drivers

import (
	"context"
	"fmt"
	"io"

	"reconciler.dev/reconciler/pkg/spec"
)

// Builds is a Host that can build programs. It may be called concurrently; builds of one daemon's program follow each other.
type Builds interface {
	// Build builds a program where something that goes into it changed, keeps it among programs, and copies what the command prints to out as it comes. When ctx ends,
	// or the link to the host, so do the command and all that it started. Where the host would have to build and hasn't got the archive of the inputs, the error wraps
	// ErrNotFound, and nothing was done.
	Build(ctx context.Context, job spec.BuildJob, out io.Writer) (spec.BuildResult, error)
	// Compiler tells by which program the job would be built now. Nothing is built, and nothing changes.
	Compiler(ctx context.Context, job spec.BuildJob) (spec.Compiler, error)
}

// BuildOn builds a program on a host.
func BuildOn(ctx context.Context, h Host, job spec.BuildJob, out io.Writer) (spec.BuildResult, error) {
	if b, ok := h.(Builds); ok {
		return b.Build(ctx, job, out)
	}
	return spec.BuildResult{}, cantBuild(h, job)
}

// CompilerOn tells by which program a job would be built on a host.
func CompilerOn(ctx context.Context, h Host, job spec.BuildJob) (spec.Compiler, error) {
	if b, ok := h.(Builds); ok {
		return b.Compiler(ctx, job)
	}
	return spec.Compiler{}, cantBuild(h, job)
}

func cantBuild(h Host, job spec.BuildJob) error {
	return fmt.Errorf("build %s: host %s can't build programs: %w", job.Name, h.Name(), ErrUnsupported)
}
