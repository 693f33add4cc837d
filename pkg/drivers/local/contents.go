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
	"time"

	"reconciler.dev/reconciler/internal/atomicfile"
	"reconciler.dev/reconciler/pkg/drivers"
	"reconciler.dev/reconciler/pkg/spec"
)

var isDigest = regexp.MustCompile(`^sha256:[0-9a-f]{64}$`)

// content is where the content of a digest is kept.
func (h *Host) content(digest string) (string, error) {
	if !isDigest.MatchString(digest) {
		return "", fmt.Errorf("%q is not a digest: %w", digest, drivers.ErrPermanent)
	}
	return filepath.Join(h.dirs.State, "contents", digest[len("sha256:"):]), nil
}

// Has says whether the content of that digest is kept. It then stays for at least as long as one that was just put.
func (h *Host) Has(_ context.Context, digest string) (bool, error) {
	path, err := h.content(digest)
	if err != nil {
		return false, err
	}
	now := time.Now()
	err = os.Chtimes(path, now, now)
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
	return h.write(path, content, atomicfile.Durable)
}

// Get returns a content, or an error that wraps ErrNotFound. One that was damaged is removed, so that the next apply brings it again.
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
	if err := verify(digest, content); err != nil {
		return nil, errors.Join(fmt.Errorf("%s was damaged and is removed now; apply the manifest again: %w", path, err), atomicfile.Remove(path, atomicfile.Durable))
	}
	return content, nil
}

// youngest is how old a content must be to be swept: one that was just put may be about to be named by a revision.
const youngest = time.Hour

// sweepContents removes the contents of files that no kept revision of any daemon names.
func (h *Host) sweepContents(files []spec.File) error {
	unnamed := map[string]bool{}
	for _, f := range files {
		unnamed[f.Digest] = true
	}
	all, err := os.ReadDir(filepath.Dir(h.historyDir("any")))
	if err != nil {
		return err
	}
	for _, e := range all {
		past, err := h.past(e.Name())
		if err != nil {
			return nil // what it names isn't known, so everything stays; whoever asks for that history is told
		}
		for _, r := range past {
			for _, f := range r.Spec.Files {
				delete(unnamed, f.Digest)
			}
		}
	}
	for digest := range unnamed {
		path, err := h.content(digest)
		if err != nil {
			continue // a spec without contents, or of another make
		}
		if info, err := os.Lstat(path); err != nil || time.Since(info.ModTime()) < youngest {
			continue
		}
		if err := atomicfile.Remove(path, atomicfile.Volatile); err != nil {
			return err
		}
	}
	return nil
}

func verify(digest string, content []byte) error {
	if sum := sha256.Sum256(content); digest != "sha256:"+hex.EncodeToString(sum[:]) {
		return fmt.Errorf("the content of %s has the digest sha256:%x: %w", digest, sum, drivers.ErrPermanent)
	}
	return nil
}
