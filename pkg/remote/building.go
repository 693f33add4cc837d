package remote

import (
	"context"
	"encoding/json"
	"io"

	"reconciler.dev/reconciler/pkg/drivers"
	"reconciler.dev/reconciler/pkg/spec"
)

// Build has a program built on that machine. What the command prints comes in parts, as logs do.
func (h *Host) Build(ctx context.Context, job spec.BuildJob, out io.Writer) (r spec.BuildResult, err error) {
	err = h.c.do(ctx, "build", job, &r, func(part []byte) error {
		_, err := out.Write(part)
		return err
	})
	return r, err
}

// Compiler tells by which program a job would be built on that machine.
func (h *Host) Compiler(ctx context.Context, job spec.BuildJob) (c spec.Compiler, err error) {
	err = h.c.do(ctx, "compiler", job, &c, nil)
	return c, err
}

// buildThere builds on this machine. It ends with the link.
func buildThere(ctx context.Context, s *server, params json.RawMessage, w *served, id uint32) (any, error) {
	var job spec.BuildJob
	if err := unmarshal(params, &job); err != nil {
		return nil, err
	}
	return drivers.BuildOn(ctx, s.Host, job, writer(func(b []byte) error { return s.part(ctx, w, id, b) }))
}
