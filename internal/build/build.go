package build

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"time"

	"reconciler.dev/reconciler/internal/flock"
	"reconciler.dev/reconciler/internal/spawn"
)

// Options are what a Builder takes from its surroundings.
type Options struct {
	// Dir is where records and outputs of commands are kept. It is made when it is needed, and nobody else reads it.
	Dir string
	// Env is the environment of commands beside their own. See Environ.
	Env map[string]string
	// Spawner starts commands. It is called when the first is needed.
	Spawner func() (*spawn.Spawner, error)
	// Begun is called when a command is about to be run, with why. May be nil.
	Begun func(j Job, why string)
}

// Builder builds programs, and remembers what it built. It may be used by any number of goroutines, and of processes with the same Dir.
type Builder struct {
	o     Options
	files memo
}

// New returns a Builder. It makes nothing yet.
func New(o Options) *Builder { return &Builder{o: o} }

// State is how a program stands to its sources.
type State struct {
	// Digest is that of the inputs, the command, its environment and its compiler.
	Digest string
	// Due says why it has to be built, as in "main.go changed". Empty: Program is what a build would make.
	Due string
	// Program is what was built last; its Path is empty where nothing was, or where that is gone or isn't what was built.
	Program File
	// Compiler is what the command begins with.
	Compiler File
	// Took is how long the last build took, and Built says that it was just now.
	Took  time.Duration
	Built bool

	source source
}

// Look says whether a program has to be built. It reads all that it is made from, and changes nothing.
func (b *Builder) Look(ctx context.Context, j Job) (State, error) {
	j, err := located(j)
	if err != nil {
		return State{}, err
	}
	return b.look(ctx, j)
}

// located makes the folder one by whatever links it was reached.
func located(j Job) (Job, error) {
	dir, err := filepath.EvalSymlinks(j.Dir)
	if err == nil {
		var info fs.FileInfo
		if info, err = os.Stat(dir); err == nil && !info.IsDir() {
			err = fmt.Errorf("%s is no folder", dir)
		}
	}
	if err != nil {
		return j, fmt.Errorf("build %s: build.dir: %w", j.Name, err)
	}
	j.Dir = dir
	return j, nil
}

func (b *Builder) look(ctx context.Context, j Job) (State, error) {
	src, err := b.source(ctx, j)
	if err != nil {
		return State{}, err
	}
	old, err := b.recorded(j)
	if err != nil {
		return State{}, err
	}
	s := State{Digest: src.digest(), Compiler: File{Path: src.Tool, Digest: src.ToolDigest}, source: src}
	if old == nil {
		s.Due = "it was never built here"
		return s, nil
	}
	s.Due, s.Took = src.due(old.Source), old.Took
	switch now, err := b.files.read(j.output()); {
	case errors.Is(err, fs.ErrNotExist):
		s.Due = orElse(s.Due, j.Output+" is gone")
	case err != nil:
		return State{}, fmt.Errorf("build %s: look at its output: %w", j.Name, err)
	case now.Digest != old.Program.Digest:
		s.Due = orElse(s.Due, j.Output+" isn't what was built")
	default:
		s.Program = now
	}
	return s, nil
}

func orElse(s, other string) string {
	if s != "" {
		return s
	}
	return other
}

func (b *Builder) source(ctx context.Context, j Job) (source, error) {
	tool, err := b.Compiler(j)
	if err != nil {
		return source{}, err
	}
	src, err := b.without(ctx, j)
	src.Tool, src.ToolDigest = tool.Path, tool.Digest
	return src, err
}

// Compiler is the program that the job's command begins with. It is read, and nothing is run. One that lies beside inputs which have yet to be fetched has no digest: it comes with
// them, and theirs says it all.
func (b *Builder) Compiler(j Job) (File, error) {
	if j.Fetch != nil && j.bringsTool() {
		return File{Path: filepath.Join(j.Dir, j.Command[0])}, nil
	}
	path, err := j.tool(b.o.Env)
	if err != nil {
		return File{}, err
	}
	tool, err := b.files.read(path)
	if err != nil {
		return File{}, fmt.Errorf("build %s: look at its compiler: %w", j.Name, err)
	}
	return tool, nil
}

// without is the source of a job without its compiler.
func (b *Builder) without(ctx context.Context, j Job) (source, error) {
	src := source{Command: j.Command, Env: make(map[string]string, len(j.Env)), Output: j.Output}
	for k, v := range j.Env {
		src.Env[k] = digestOf(v)
	}
	if j.Sources != "" {
		src.Inputs = map[string]string{"what it is built from": j.Sources}
		return src, nil
	}
	names, err := Inputs(ctx, j.Dir, j.Inputs, j.Output)
	if err != nil {
		return src, fmt.Errorf("build %s: %w", j.Name, err)
	}
	if len(names) == 0 {
		return src, fmt.Errorf("build %s: build.inputs %q mean no file in %s", j.Name, j.Inputs, j.Dir)
	}
	if src.Inputs, err = b.files.contents(ctx, j.Dir, names); err != nil {
		return src, fmt.Errorf("build %s: %w", j.Name, err)
	}
	return src, nil
}

// Build makes the program where that is due, or in any case with force, and returns what it is then. What the command prints goes to out as it comes, and is kept (see Log). Only one
// command runs in a folder at a time, of whatever process; a Build that had to wait looks again. When ctx ends, so do the command and all that it started; so does
// what a Builder left that was killed itself. An error is a *Failure where the command was at fault.
func (b *Builder) Build(ctx context.Context, j Job, force bool, out io.Writer) (State, error) {
	j, err := located(j)
	if err != nil {
		return State{}, err
	}
	if s, err := b.look(ctx, j); err != nil || s.Due == "" && !force {
		return s, err
	}
	lock, err := b.enter(ctx, j, out)
	if err != nil {
		return State{}, err
	}
	defer lock.Release()
	s, err := b.look(ctx, j)
	if err != nil || s.Due == "" && !force {
		return s, err
	}
	if err := b.ready(ctx, j); err != nil {
		return State{}, fmt.Errorf("build %s: %w", j.Name, err)
	}
	if j.Fetch != nil {
		if err := j.Fetch(ctx); err != nil {
			return State{}, fmt.Errorf("build %s: %w", j.Name, err)
		}
	}
	if b.o.Begun != nil {
		b.o.Begun(j, orElse(s.Due, "by force"))
	}
	began := time.Now()
	if err := b.command(ctx, j, s.source.Tool, out); err != nil {
		return State{}, err
	}
	s.Took, s.Built, s.Due = time.Since(began), true, ""
	if s.Program, err = b.made(j); err != nil {
		return State{}, err
	}
	r := record{Dir: j.Dir, Source: s.source, Program: s.Program, BuiltAt: began, Took: s.Took}
	if err := writeJSON(b.place(j)+".json", r); err != nil {
		return State{}, fmt.Errorf("remember the build of %s: %w", j.Name, err)
	}
	return s, nil
}

// enter takes the lock of the job's folder, and says so where that takes a while.
func (b *Builder) enter(ctx context.Context, j Job, out io.Writer) (*flock.Held, error) {
	lock, err := flock.TryLockDir(j.Dir)
	if errors.Is(err, flock.ErrHeld) {
		fmt.Fprintf(out, "waiting for another build in %s\n", j.Dir)
		lock, err = flock.LockDir(ctx, j.Dir)
	}
	if err != nil {
		return nil, fmt.Errorf("build %s: %w", j.Name, err)
	}
	return lock, nil
}

// ready ends what an earlier Build left that died, and makes the folders that are needed. The caller holds the lock.
func (b *Builder) ready(ctx context.Context, j Job) error {
	var left pending
	switch ok, err := readJSON(b.unfinished(j), &left); {
	case err != nil:
		return fmt.Errorf("look for what a build left that was cut off: %w", err)
	case ok:
		if err := spawn.KillTree(ctx, left.Tag); err != nil {
			return err
		}
	}
	if err := os.MkdirAll(b.folder(j.Dir), 0o700); err != nil {
		return fmt.Errorf("make the folder for records of builds: %w", err)
	}
	if err := os.MkdirAll(filepath.Dir(j.output()), 0o755); err != nil {
		return fmt.Errorf("make the folder for its output: %w", err)
	}
	return nil
}

func (b *Builder) unfinished(j Job) string { return filepath.Join(b.folder(j.Dir), "pending") }

// command runs the job's command.
func (b *Builder) command(ctx context.Context, j Job, tool string, out io.Writer) error {
	sp, err := b.o.Spawner()
	if err != nil {
		return fmt.Errorf("build %s: %w", j.Name, err)
	}
	cmd := spawn.Cmd{Path: tool, Args: j.Command, Env: j.environ(b.o.Env), Dir: j.Dir, Umask: 0o022, Tag: spawn.NewTag()}
	if err := writeJSON(b.unfinished(j), pending{cmd.Tag}); err != nil {
		return fmt.Errorf("build %s: %w", j.Name, err)
	}
	kept := keep(b.Log(j))
	defer kept.close()
	if j.Timeout > 0 {
		var cancel context.CancelFunc
		ctx, cancel = context.WithTimeoutCause(ctx, j.Timeout, fmt.Errorf("it took longer than build.timeout, %s", j.Timeout))
		defer cancel()
	}
	began := time.Now()
	said := &tail{}
	err = sp.Follow(ctx, cmd, io.MultiWriter(kept, said, out))
	if err == nil {
		return os.Remove(b.unfinished(j))
	}
	if ctx.Err() == nil {
		_ = os.Remove(b.unfinished(j)) // it ended by itself; of one that was killed the next build sees to it that nothing is left
	}
	return &Failure{Name: j.Name, Dir: j.Dir, Command: strings.Join(j.Command, " "), Took: time.Since(began), Said: said.lines(), Log: kept.path, Err: err}
}

// made looks at what the command made.
func (b *Builder) made(j Job) (File, error) {
	f, err := b.files.read(j.output())
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return File{}, fmt.Errorf("build %s: %q ended well, and there is no %s in %s: does the command make what build.output says?", j.Name, strings.Join(j.Command, " "), j.Output, j.Dir)
	case err != nil:
		return File{}, fmt.Errorf("build %s: %w", j.Name, err)
	case f.Size == 0:
		return File{}, fmt.Errorf("build %s: %q ended well, and %s in %s is empty", j.Name, strings.Join(j.Command, " "), j.Output, j.Dir)
	}
	return f, nil
}
