package main

import (
	"fmt"
	"io"
	"path/filepath"
	"sync"
	"time"

	"reconciler.dev/reconciler/internal/artifact"
	"reconciler.dev/reconciler/internal/build"
	"reconciler.dev/reconciler/internal/layout"
	"reconciler.dev/reconciler/internal/spawn"
	"reconciler.dev/reconciler/pkg/programs"
	"reconciler.dev/reconciler/pkg/reconcile"
)

// round begins to find the programs of one command.
func (c *cli) round(purpose programs.Purpose) (*programs.Round, error) {
	dirs, err := c.dirs()
	if err != nil {
		return nil, err
	}
	tell := func(daemon, what string) { c.note("daemon/%s: %s", daemon, what) }
	o, err := c.makerOptions(dirs, tell)
	if err != nil {
		return nil, err
	}
	o.Output = c.buildOutput
	return programs.New(o).Begin(purpose), nil
}

// runsMaker makes programs for a run, which tells what it does a line each; what compilers print it tells where they fail. The function that it returns gives up what is being built.
func (c *cli) runsMaker(say func(at string, p reconcile.Progress)) (*programs.Maker, func(), error) {
	dirs, err := c.dirs()
	if err != nil {
		return nil, nil, err
	}
	o, err := c.makerOptions(dirs, func(daemon, what string) { say("", reconcile.Progress{Name: daemon, Phase: "build", Message: what}) })
	if err != nil {
		return nil, nil, err
	}
	o.Shop = build.NewShop(o.Builder)
	return programs.New(o), o.Shop.Close, nil
}

// makerOptions are what a command and a run have in common.
func (c *cli) makerOptions(dirs layout.Dirs, tell func(daemon, what string)) (programs.Options, error) {
	own, _, err := spawn.LookupAccount("", "")
	if err != nil {
		return programs.Options{}, fmt.Errorf("build programs: %w", err)
	}
	cache := c.cacheDir()
	if cache == "" {
		cache = dirs.State
	}
	return programs.Options{
		Builder: build.New(build.Options{
			Dir: dirs.Builds(), Env: build.Environ(own, c.lookupEnv), Spawner: sync.OnceValues(spawn.New),
			Begun: func(j build.Job, why string) { tell(j.Name, "building "+j.Output+": "+why) },
		}),
		Cache: artifact.New(artifact.Options{Dir: filepath.Join(cache, "programs"), Progress: c.fetching()}),
		Tell:  tell, Prepare: sync.OnceValue(dirs.Make),
	}, nil
}

// lookupEnv is os.LookupEnv, of the environment of this invocation.
func (c *cli) lookupEnv(name string) (string, bool) {
	v := c.getenv(name)
	return v, v != ""
}

// buildOutput is where goes what the command prints that builds a daemon's program: to the person, a line each, with the daemon's name.
func (c *cli) buildOutput(daemon string) io.WriteCloser {
	return &buildLines{lineWriter{out: c.err, mu: &c.writing, prefix: clean(daemon) + " | ", tame: true, colour: terminal(c.err) && c.getenv("NO_COLOR") == ""}}
}

type buildLines struct{ lineWriter }

// Close passes on a last line that has no end.
func (b *buildLines) Close() error { return b.flush() }

// fetchPause is how often a person is told how far a download has come.
const fetchPause = 2 * time.Second

// fetching tells how far downloads have come, where a person watches.
func (c *cli) fetching() func(url string, have, size int64) {
	if !c.watched() {
		return nil
	}
	var mu sync.Mutex
	told := map[string]time.Time{}
	return func(url string, have, size int64) {
		mu.Lock()
		defer mu.Unlock()
		if last, ok := told[url]; ok && time.Since(last) < fetchPause && have != size {
			return
		}
		told[url] = time.Now()
		of := ""
		if size >= 0 {
			of = fmt.Sprintf(" of %.1f", float64(size)/1e6)
		}
		c.note("%s: %.1f%s MB have come", url, float64(have)/1e6, of)
	}
}
