package drivers

import (
	"os"
	"path/filepath"
	"sync"
	"time"

	"reconciler.dev/reconciler/internal/binstore"
	"reconciler.dev/reconciler/internal/program"
	"reconciler.dev/reconciler/pkg/spec"
)

// soundness remembers for a moment whether programs can be executed here, so that to ask for many daemons of one program costs one reading. It is safe for concurrent use.
type soundness struct {
	mu    sync.Mutex
	known map[soundKey]soundAnswer
	swept time.Time
}

type soundKey struct {
	file     binstore.Identity
	path, as string
	env      string
}

type soundAnswer struct {
	found string
	at    time.Time
}

// soundFor is how long an answer holds: what a program needs may be installed, or removed, at any time.
const soundFor = 5 * time.Second

// judge says in a sentence why the file at path can't be executed as the program of a daemon, at as where that isn't empty; empty where it can.
func (c *soundness) judge(path, as string, s *spec.Spec) string {
	o := program.Options{As: as, Path: words(s, "PATH"), LibraryPath: words(s, "LD_LIBRARY_PATH")}
	info, err := os.Stat(path)
	if err != nil || !filepath.IsAbs(path) {
		return "" // that it isn't there the driver says
	}
	id, ok := binstore.IdentityOf(info)
	if !ok {
		return program.Check(path, o)
	}
	key := soundKey{id, path, as, env(s, "PATH") + "\x00" + env(s, "LD_LIBRARY_PATH")}
	c.mu.Lock()
	have, known := c.known[key]
	c.mu.Unlock()
	if known && time.Since(have.at) < soundFor {
		return have.found
	}
	found := program.Check(path, o)
	c.mu.Lock()
	defer c.mu.Unlock()
	for k, a := range c.known {
		if time.Since(a.at) >= soundFor {
			delete(c.known, k)
		}
	}
	c.known[key] = soundAnswer{found, time.Now()}
	return found
}

// due says once in a while that it is time to sweep.
func (c *soundness) due(every time.Duration) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	if time.Since(c.swept) < every {
		return false
	}
	c.swept = time.Now()
	return true
}

// env is a variable of a daemon, where its value is plain.
func env(s *spec.Spec, name string) string {
	if v := s.Env[name].Value; v != nil {
		return *v
	}
	return ""
}

// words are the folders in such a variable.
func words(s *spec.Spec, name string) []string { return filepath.SplitList(env(s, name)) }
