package drivers

import (
	"context"

	"reconciler.dev/reconciler/pkg/spec"
)

// Adopter is a Driver that can take over a daemon which runs already, by a step Adopt: the process lives on, and is the daemon's instance from then on.
type Adopter interface {
	// Inspect looks at what c says that runs, and at what want would make of it. It changes nothing. An error that wraps ErrPermanent, ErrUnsupported or ErrConflict says why it can't be taken
	// over, and what to do.
	Inspect(ctx context.Context, want *spec.Daemon, c spec.Candidate) (*spec.Takeover, error)
}
