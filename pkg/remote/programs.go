package remote

import (
	"context"
	"io"
)

// The parameters and results of calls about programs.
type (
	storedResult struct {
		Have  int64 `json:"have"`
		Whole bool  `json:"whole,omitempty"`
	}
	storeParams struct {
		Digest string `json:"digest"`
		Size   int64  `json:"size"`
		Offset int64  `json:"offset,omitempty"`
	}
)

// Stored says how much of a program that machine has.
func (h *Host) Stored(ctx context.Context, digest string) (have int64, whole bool, err error) {
	var r storedResult
	err = h.c.do(ctx, "stored", digest, &r, nil)
	return r.Have, r.Whole, err
}

// Store sends what content reads of a program to that machine, as it stands, and returns once it has the whole of it. A link that is lost meanwhile leaves there what has arrived.
func (h *Host) Store(ctx context.Context, digest string, size, offset int64, content io.Reader) error {
	return h.c.give(ctx, "store", storeParams{digest, size, offset}, content)
}

func stored(ctx context.Context, s *server, digest string) (any, error) {
	have, whole, err := s.Host.Stored(ctx, digest)
	return storedResult{have, whole}, err
}

func store(ctx context.Context, s *server, p storeParams, r io.Reader) error {
	return s.Host.Store(ctx, p.Digest, p.Size, p.Offset, r)
}
