package local

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"slices"

	"reconciler.dev/reconciler/internal/atomicfile"
	"reconciler.dev/reconciler/internal/binstore"
	"reconciler.dev/reconciler/internal/build"
	"reconciler.dev/reconciler/internal/spawn"
	"reconciler.dev/reconciler/pkg/drivers"
	"reconciler.dev/reconciler/pkg/spec"
)

// unpacked says what of a job's inputs lies in its folder. Digest is empty while they are being unpacked.
type unpacked struct {
	Digest string   `json:"digest,omitempty"`
	Names  []string `json:"names,omitempty"`
}

// Build builds a program from inputs that were stored as an archive, in a folder that is kept for the daemon, so that compilers find there what they left.
func (h *Host) Build(ctx context.Context, job spec.BuildJob, out io.Writer) (spec.BuildResult, error) {
	if !drivers.GoodName(job.Name) || !filepath.IsLocal(filepath.FromSlash(job.Output)) {
		return spec.BuildResult{}, fmt.Errorf("build %q on %s: %q isn't a name and a path below a folder: %w", job.Name, h.Name(), job.Output, drivers.ErrPermanent)
	}
	own, _, err := spawn.LookupAccount("", "")
	if err != nil {
		return spec.BuildResult{}, fmt.Errorf("build %s on %s: %w", job.Name, h.Name(), err)
	}
	dir := filepath.Join(h.dirs.State, "sources", job.Name)
	if err := errors.Join(h.dirs.Make(), os.MkdirAll(dir, 0o700)); err != nil {
		return spec.BuildResult{}, fmt.Errorf("build %s on %s: %w", job.Name, h.Name(), err)
	}
	b := build.New(build.Options{Dir: h.dirs.Builds(), Env: build.Environ(own, os.LookupEnv), Spawner: h.spawner})
	st, err := b.Build(ctx, build.Job{
		Name: job.Name, Dir: dir, Command: job.Command, Env: job.Env, Output: job.Output, Timeout: job.Timeout,
		Sources: job.Inputs, Fetch: func(ctx context.Context) error { return h.unpack(ctx, dir, job.Inputs) },
	}, job.Force, out)
	if err != nil {
		return spec.BuildResult{}, err
	}
	if err := h.keepBuilt(ctx, st.Program); err != nil {
		return spec.BuildResult{}, fmt.Errorf("keep the program that was built for %s on %s: %w", job.Name, h.Name(), err)
	}
	return spec.BuildResult{Digest: st.Program.Digest, Size: st.Program.Size, Built: st.Built, Took: st.Took}, nil
}

// keepBuilt keeps a program that was built among the others.
func (h *Host) keepBuilt(ctx context.Context, f build.File) error {
	return drivers.SendProgram(ctx, h, &spec.Program{Digest: f.Digest, Size: f.Size, Open: func() (io.ReadSeekCloser, error) {
		built, err := os.Open(f.Path)
		if err != nil {
			return nil, err
		}
		return built, nil
	}})
}

// unpack makes the folder hold the inputs of that digest, where it doesn't yet. The caller holds the folder's lock.
func (h *Host) unpack(ctx context.Context, dir, digest string) error {
	note := dir + ".json"
	var was unpacked
	if data, err := os.ReadFile(note); err == nil {
		if json.Unmarshal(data, &was) != nil {
			was = unpacked{}
		}
	} else if !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	if was.Digest == digest {
		return nil
	}
	archive, err := h.programs.Open(digest)
	if err != nil {
		if errors.Is(err, binstore.ErrNotKept) {
			err = fmt.Errorf("%w: %w", err, drivers.ErrNotFound)
		}
		return fmt.Errorf("find what it is built from, %s: %w", digest, err)
	}
	defer archive.Close()
	was.Digest = ""
	if err := writeNote(note, was); err != nil {
		return err
	}
	names, err := build.Unpack(ctx, archive, dir, was.Names)
	if err != nil {
		was.Names = append(was.Names, names...) // some of them may be there
		return errors.Join(err, writeNote(note, was))
	}
	return writeNote(note, unpacked{digest, names})
}

func writeNote(path string, u unpacked) error {
	slices.Sort(u.Names)
	u.Names = slices.Compact(u.Names)
	data, err := json.Marshal(u)
	if err != nil {
		return err
	}
	return atomicfile.Write(path, data, 0o600, atomicfile.Volatile)
}
