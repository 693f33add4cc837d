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

// Build builds a program from inputs that were stored as an archive, where compilers find what they left.
func (h *Host) Build(ctx context.Context, job spec.BuildJob, out io.Writer) (spec.BuildResult, error) {
	b, j, err := h.builds(job)
	if err == nil {
		err = errors.Join(h.dirs.Make(), os.MkdirAll(j.Dir, 0o700))
	}
	if err != nil {
		return spec.BuildResult{}, fmt.Errorf("build %s on %s: %w", job.Name, h.Name(), err)
	}
	st, err := b.Build(ctx, j, job.Force, out)
	if err != nil {
		return spec.BuildResult{}, err
	}
	if err := h.keepBuilt(ctx, st.Program); err != nil {
		return spec.BuildResult{}, fmt.Errorf("keep the program that was built for %s on %s: %w", job.Name, h.Name(), err)
	}
	return spec.BuildResult{Digest: st.Program.Digest, Size: st.Program.Size, Built: st.Built, Took: st.Took, Compiler: compilerOf(st.Compiler)}, nil
}

// Compiler tells by which program a job would be built.
func (h *Host) Compiler(_ context.Context, job spec.BuildJob) (spec.Compiler, error) {
	b, j, err := h.builds(job)
	if err != nil {
		return spec.Compiler{}, fmt.Errorf("look at the compiler of %s on %s: %w", job.Name, h.Name(), err)
	}
	f, err := b.Compiler(j)
	return compilerOf(f), err
}

func compilerOf(f build.File) spec.Compiler { return spec.Compiler{Path: f.Path, Digest: f.Digest} }

// builds is what builds a job here, in a folder that is kept for the daemon.
func (h *Host) builds(job spec.BuildJob) (*build.Builder, build.Job, error) {
	if !drivers.GoodName(job.Name) || !filepath.IsLocal(filepath.FromSlash(job.Output)) {
		return nil, build.Job{}, fmt.Errorf("%q and %q aren't a name and a path below a folder: %w", job.Name, job.Output, drivers.ErrPermanent)
	}
	own, _, err := spawn.LookupAccount("", "")
	if err != nil {
		return nil, build.Job{}, err
	}
	dir := filepath.Join(h.dirs.State, "sources", job.Name)
	return build.New(build.Options{Dir: h.dirs.Builds(), Env: build.Environ(own, os.LookupEnv), Spawner: h.spawner}), build.Job{
		Name: job.Name, Dir: dir, Command: job.Command, Env: job.Env, Output: job.Output, Timeout: job.Timeout,
		Sources: job.Inputs, Fetch: func(ctx context.Context) error { return h.unpack(ctx, dir, job.Inputs) },
	}, nil
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
