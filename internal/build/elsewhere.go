package build

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"time"
)

// Elsewhere is a program that is built on another host, as it looks from here: of its compiler is known what it was when it was noted.
type Elsewhere struct {
	// Digest is that of the inputs, the command and its environment.
	Digest string
	// Due says why it has to be built there, as far as that is known here. Empty: Program is what was built there last of the same; it has no path.
	Due     string
	Program File

	source source
}

// Recompiled says that the host's compiler isn't the one any more that made Program; empty where it is, or where that wasn't noted.
func (e Elsewhere) Recompiled(now File) string {
	if e.source.ToolDigest == "" || e.source.ToolDigest == now.Digest {
		return ""
	}
	return now.Path + " changed"
}

// LookElsewhere says whether a program has to be built on host, by what was noted of that.
func (b *Builder) LookElsewhere(ctx context.Context, j Job, host string) (Elsewhere, error) {
	j, err := located(j)
	if err != nil {
		return Elsewhere{}, err
	}
	src, err := b.without(ctx, j)
	if err != nil {
		return Elsewhere{}, err
	}
	e := Elsewhere{Digest: src.digest(), source: src, Due: "it was never built there from here"}
	var r record
	switch ok, err := readJSON(b.noteOf(j, host), &r); {
	case err != nil:
		return e, fmt.Errorf("look up when %s was built on %s last: %w", j.Name, host, err)
	case ok:
		e.source.Tool, e.source.ToolDigest = r.Source.Tool, r.Source.ToolDigest
		e.Due, e.Program = e.source.due(r.Source), r.Program
	}
	return e, nil
}

// NoteElsewhere notes what a host has built of what e says, and by which compiler.
func (b *Builder) NoteElsewhere(j Job, host string, e Elsewhere, program, compiler File, took time.Duration) error {
	j, err := located(j)
	if err != nil {
		return err
	}
	if err := os.MkdirAll(b.folder(j.Dir), 0o700); err != nil {
		return fmt.Errorf("make the folder for records of builds: %w", err)
	}
	program.Path = ""
	e.source.Tool, e.source.ToolDigest = compiler.Path, compiler.Digest
	return writeJSON(b.noteOf(j, host), record{Dir: j.Dir, Source: e.source, Program: program, BuiltAt: time.Now(), Took: took})
}

func (b *Builder) noteOf(j Job, host string) string {
	sum := sha256.Sum256([]byte(host))
	return b.place(j) + "." + hex.EncodeToString(sum[:8]) + ".json"
}

// PackInputs makes an archive of a job's inputs (see Pack) and returns it as a file, which the caller removes.
func (b *Builder) PackInputs(ctx context.Context, j Job) (File, error) {
	j, err := located(j)
	if err != nil {
		return File{}, err
	}
	names, err := Inputs(ctx, j.Dir, j.Inputs, j.Output)
	if err != nil {
		return File{}, fmt.Errorf("build %s: %w", j.Name, err)
	}
	if err := os.MkdirAll(b.folder(j.Dir), 0o700); err != nil {
		return File{}, fmt.Errorf("make the folder for records of builds: %w", err)
	}
	b.sweepPacked(j)
	out, err := os.CreateTemp(b.folder(j.Dir), "packed-")
	if err != nil {
		return File{}, fmt.Errorf("pack the inputs of %s: %w", j.Name, err)
	}
	sum := sha256.New()
	size := &counter{}
	err = Pack(ctx, j.Dir, names, io.MultiWriter(out, sum, size))
	if err == nil {
		err = out.Close()
	}
	if err != nil {
		out.Close()
		os.Remove(out.Name())
		return File{}, fmt.Errorf("pack the inputs of %s in %s: %w", j.Name, filepath.Clean(j.Dir), err)
	}
	return File{Path: out.Name(), Digest: "sha256:" + hex.EncodeToString(sum.Sum(nil)), Size: size.n}, nil
}

// sweepPacked removes archives that somebody left who died.
func (b *Builder) sweepPacked(j Job) {
	left, _ := filepath.Glob(filepath.Join(b.folder(j.Dir), "packed-*")) // the pattern is a good one
	for _, path := range left {
		if info, err := os.Stat(path); err == nil && time.Since(info.ModTime()) > 24*time.Hour {
			_ = os.Remove(path) // it is tried again
		}
	}
}

// counter counts what is written.
type counter struct{ n int64 }

func (c *counter) Write(p []byte) (int, error) {
	c.n += int64(len(p))
	return len(p), nil
}
