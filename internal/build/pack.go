package build

import (
	"archive/tar"
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"slices"
	"time"
)

// Pack writes an archive of files, by their names relative to dir, to w. It is the same for equal names, contents and rights, whatever else is different.
func Pack(ctx context.Context, dir string, names []string, w io.Writer) error {
	t := tar.NewWriter(w)
	for _, name := range names {
		if err := ctx.Err(); err != nil {
			return err
		}
		if err := packOne(t, filepath.Join(dir, filepath.FromSlash(name)), name); err != nil {
			return fmt.Errorf("pack %s: %w", name, err)
		}
	}
	return t.Close()
}

func packOne(t *tar.Writer, file, name string) error {
	f, err := os.Open(file)
	if errors.Is(err, fs.ErrNotExist) {
		return nil // it went meanwhile
	}
	if err != nil {
		return err
	}
	defer f.Close()
	info, err := f.Stat()
	if err != nil {
		return err
	}
	mode := int64(0o644)
	if isExecutable(info.Mode()) {
		mode = 0o755
	}
	if err := t.WriteHeader(&tar.Header{Name: name, Size: info.Size(), Mode: mode, ModTime: time.Unix(0, 0), Format: tar.FormatPAX}); err != nil {
		return err
	}
	_, err = io.CopyN(t, f, info.Size())
	return err
}

// Unpack makes the files in dir that are packed in r. Those that are there already with that content are left alone, so that their times say so; those of before that aren't among them are removed;
// what else is in dir stays. It follows no link out of dir. It returns the names of the files.
func Unpack(ctx context.Context, r io.ReadSeeker, dir string, before []string) ([]string, error) {
	root, err := os.OpenRoot(dir)
	if err != nil {
		return nil, err
	}
	defer root.Close()
	var names []string
	err = each(ctx, r, func(h *tar.Header, _ io.Reader) error {
		names = append(names, h.Name)
		return nil
	})
	if err != nil {
		return nil, err
	}
	slices.Sort(names)
	for _, name := range before {
		if _, found := slices.BinarySearch(names, name); !found && filepath.IsLocal(name) {
			if err := root.Remove(name); err != nil && !errors.Is(err, fs.ErrNotExist) {
				return nil, fmt.Errorf("remove %s, which is no input any more: %w", name, err)
			}
			prunePath(root, path.Dir(name))
		}
	}
	if _, err := r.Seek(0, io.SeekStart); err != nil {
		return nil, err
	}
	return names, each(ctx, r, func(h *tar.Header, content io.Reader) error {
		if err := unpackOne(root, h, content); err != nil {
			return fmt.Errorf("unpack %s: %w", h.Name, err)
		}
		return nil
	})
}

// prunePath removes folders that became empty.
func prunePath(root *os.Root, dir string) {
	for ; dir != "." && root.Remove(dir) == nil; dir = path.Dir(dir) {
	}
}

// each calls do for each file that is packed in r.
func each(ctx context.Context, r io.Reader, do func(h *tar.Header, content io.Reader) error) error {
	t := tar.NewReader(r)
	for {
		h, err := t.Next()
		switch {
		case errors.Is(err, io.EOF):
			return ctx.Err()
		case err != nil:
			return fmt.Errorf("read packed inputs: %w", err)
		case h.Typeflag != tar.TypeReg || !filepath.IsLocal(h.Name):
			return fmt.Errorf("read packed inputs: %q is no file below a folder", h.Name)
		}
		if err := errors.Join(ctx.Err(), do(h, t)); err != nil {
			return err
		}
	}
}

// freshSuffix ends the names of files that are being written.
const freshSuffix = ".reconciler-new"

func unpackOne(root *os.Root, h *tar.Header, content io.Reader) error {
	if dir := path.Dir(h.Name); dir != "." {
		if err := root.MkdirAll(dir, 0o755); err != nil {
			return err
		}
	}
	data, err := io.ReadAll(content)
	if err != nil {
		return err
	}
	mode := fs.FileMode(h.Mode).Perm()
	if same(root, h.Name, data, mode) {
		return nil
	}
	fresh := h.Name + freshSuffix
	if err := errors.Join(root.RemoveAll(fresh), root.WriteFile(fresh, data, mode)); err != nil {
		return err
	}
	if err := root.Chmod(fresh, mode); err != nil {
		return err
	}
	if info, err := root.Lstat(h.Name); err == nil && info.IsDir() {
		if err := root.RemoveAll(h.Name); err != nil {
			return err
		}
	}
	return root.Rename(fresh, h.Name)
}

// same says whether a file has that content and those rights.
func same(root *os.Root, name string, data []byte, mode fs.FileMode) bool {
	info, err := root.Lstat(name)
	if err != nil || !info.Mode().IsRegular() || info.Size() != int64(len(data)) || isExecutable(info.Mode()) != isExecutable(mode) {
		return false
	}
	was, err := root.ReadFile(name)
	return err == nil && bytes.Equal(was, data)
}
