package local

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"regexp"

	"reconciler.dev/reconciler/internal/atomicfile"
	"reconciler.dev/reconciler/pkg/drivers"
)

var isDigest = regexp.MustCompile(`^sha256:[0-9a-f]{64}$`)

// content is where the content of a digest is kept.
func (h *Host) content(digest string) (string, error) {
	if !isDigest.MatchString(digest) {
		return "", fmt.Errorf("%q is not a digest: %w", digest, drivers.ErrPermanent)
	}
	return filepath.Join(h.dirs.State, "contents", digest[len("sha256:"):]), nil
}

// Has says whether the content of that digest is kept.
func (h *Host) Has(_ context.Context, digest string) (bool, error) {
	path, err := h.content(digest)
	if err != nil {
		return false, err
	}
	_, err = os.Lstat(path)
	if errors.Is(err, fs.ErrNotExist) {
		return false, nil
	}
	return err == nil, err
}

// Put keeps a content, durably.
func (h *Host) Put(_ context.Context, digest string, content []byte) error {
	path, err := h.content(digest)
	if err != nil {
		return err
	}
	if err := verify(digest, content); err != nil {
		return err
	}
	if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
		return err
	}
	return atomicfile.Write(path, content, 0o600, atomicfile.Durable)
}

// Get returns a content, or an error that wraps ErrNotFound. One that was tampered with is an error, not a content.
func (h *Host) Get(_ context.Context, digest string) ([]byte, error) {
	path, err := h.content(digest)
	if err != nil {
		return nil, err
	}
	content, err := os.ReadFile(path)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return nil, fmt.Errorf("the content %s is not kept on %s: %w", digest, h.Name(), drivers.ErrNotFound)
	case err != nil:
		return nil, err
	}
	return content, verify(digest, content)
}

func verify(digest string, content []byte) error {
	if sum := sha256.Sum256(content); digest != "sha256:"+hex.EncodeToString(sum[:]) {
		return fmt.Errorf("the content of %s has the digest sha256:%x: %w", digest, sum, drivers.ErrPermanent)
	}
	return nil
}
