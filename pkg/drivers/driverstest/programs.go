package driverstest

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"sync"

	"reconciler.dev/reconciler/pkg/drivers"
)

// shelf keeps programs in memory, whole or in part.
type shelf struct {
	mu    sync.Mutex
	whole map[string]bool
	parts map[string][]byte
}

func newShelf() *shelf { return &shelf{whole: map[string]bool{}, parts: map[string][]byte{}} }

// Stored says how much of a program there is.
func (h *Host) Stored(_ context.Context, digest string) (have int64, whole bool, err error) {
	s := h.s.programs
	s.mu.Lock()
	defer s.mu.Unlock()
	return int64(len(s.parts[digest])), s.whole[digest], nil
}

// Store goes on with a program, as a Host on a disk does.
func (h *Host) Store(_ context.Context, digest string, size, offset int64, content io.Reader) error {
	s := h.s.programs
	s.mu.Lock()
	defer s.mu.Unlock()
	switch have := int64(len(s.parts[digest])); {
	case s.whole[digest]:
		return nil
	case have != offset:
		return fmt.Errorf("store program %s: %d bytes are there, and not %d: %w", digest, have, offset, drivers.ErrMoved)
	}
	var b bytes.Buffer
	_, err := io.Copy(&b, content)
	s.parts[digest] = append(s.parts[digest], b.Bytes()...)
	switch {
	case err != nil:
		return err
	case ContentDigest(s.parts[digest]) != digest || int64(len(s.parts[digest])) != size:
		delete(s.parts, digest)
		return fmt.Errorf("store program %s: what came is another content: %w", digest, drivers.ErrPermanent)
	}
	s.whole[digest] = true
	return nil
}
