package process

import (
	"context"
	"errors"
	"testing"

	"reconciler.dev/reconciler/pkg/spec"
)

func TestStartWaitsForItsTurn(t *testing.T) {
	r := newRig(t)
	d := want("web", "/bin/sleep", "1000")
	for range startsAtOnce {
		r.starts <- struct{}{}
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if err := r.Apply(ctx, r.Step(spec.VerbStart, d)); !errors.Is(err, context.Canceled) {
		t.Errorf("with all turns taken and no more time: %v", err)
	}
	if o := r.Look("web"); o.State != spec.Absent {
		t.Errorf("it left %+v", o)
	}
	<-r.starts
	r.Start(d)
	if n := len(r.starts); n != startsAtOnce-1 {
		t.Errorf("%d turns are taken, want %d: a start gives its turn back", n, startsAtOnce-1)
	}
}
