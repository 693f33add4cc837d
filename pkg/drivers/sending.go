package drivers

import (
	"context"
	"errors"
	"fmt"
	"io"

	"reconciler.dev/reconciler/pkg/spec"
)

// Programs is what a Host keeps of programs, by their content. All methods may be called concurrently.
type Programs interface {
	// Stored returns how many bytes of a program the host has, and whether that is the whole of it.
	Stored(ctx context.Context, digest string) (have int64, whole bool, err error)
	// Store goes on with a program of size bytes at offset, and returns once the host has the whole, verified and durable. Where the host stands elsewhere the error
	// wraps ErrMoved, and nothing was done; where what came is another content, ErrPermanent, and nothing of it is kept. Of two at a time for one program, one waits
	// for the other. A transfer that is cut off leaves what came, to be gone on with.
	Store(ctx context.Context, digest string, size, offset int64, content io.Reader) error
}

// triesOfSending is how often a transfer is begun anew because the host stands elsewhere than it said a moment ago.
const triesOfSending = 3

// SendProgram sends a program to a host that hasn't got it, from where an earlier transfer was cut off. It sends nothing where the host has it.
func SendProgram(ctx context.Context, h Programs, p *spec.Program) error {
	for try := 1; ; try++ {
		have, whole, err := h.Stored(ctx, p.Digest)
		if err != nil || whole {
			return err
		}
		err = sendFrom(ctx, h, p, have)
		if !errors.Is(err, ErrMoved) || try == triesOfSending {
			return err
		}
	}
}

func sendFrom(ctx context.Context, programs Programs, p *spec.Program, offset int64) error {
	content, err := p.Open()
	if err != nil {
		return err
	}
	defer content.Close()
	if _, err := content.Seek(offset, io.SeekStart); err != nil {
		return fmt.Errorf("go on at byte %d: %w", offset, err)
	}
	return programs.Store(ctx, p.Digest, p.Size, offset, content)
}
