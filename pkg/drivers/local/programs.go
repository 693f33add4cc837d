package local

import (
	"context"
	"errors"
	"fmt"
	"io"

	"reconciler.dev/reconciler/internal/binstore"
	"reconciler.dev/reconciler/pkg/drivers"
)

// Stored returns how much of a program this machine has. It stays for a while then.
func (h *Host) Stored(_ context.Context, digest string) (have int64, whole bool, err error) {
	have, whole, err = h.programs.Have(digest)
	if err != nil {
		err = fmt.Errorf("look for program %s on %s: %w: %w", digest, h.Name(), err, drivers.ErrPermanent)
	}
	return have, whole, err
}

// Store takes a program in. What arrived is verified as a whole: where it is another content, and an earlier transfer brought a part of it, the error wraps ErrMoved, because that part
// may be what is wrong, and it is gone.
func (h *Host) Store(ctx context.Context, digest string, size, offset int64, content io.Reader) error {
	err := h.programs.Put(ctx, digest, size, offset, content)
	var kind error
	switch {
	case err == nil:
		return nil
	case errors.Is(err, binstore.ErrMoved), errors.Is(err, binstore.ErrDamaged) && offset > 0:
		kind = drivers.ErrMoved
	case errors.Is(err, binstore.ErrDamaged), errors.Is(err, binstore.ErrFull):
		kind = drivers.ErrPermanent
	default:
		return fmt.Errorf("on %s: %w", h.Name(), err)
	}
	return fmt.Errorf("on %s: %w: %w", h.Name(), err, kind)
}
