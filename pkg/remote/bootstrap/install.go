package bootstrap

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"time"

	"reconciler.dev/reconciler/internal/atomicfile"
)

const (
	// mostAgents is how many agents a host keeps beside the one that was just put there.
	mostAgents = 4
	// unusedAfter is how long an agent is kept that nobody starts.
	unusedAfter = 30 * 24 * time.Hour
	// partAfter is how long what a copy left is kept for one that continues it.
	partAfter = 24 * time.Hour
	// touchEvery is how often a running agent says that it is in use.
	touchEvery = 24 * time.Hour
)

// agentFolder matches the names of folders that are named by the content of the agent in them.
var agentFolder = regexp.MustCompile(`^[0-9a-f]{16}$`)

// Install is what a copied agent does with itself on its host: it looks whether temp, the copy, has that SHA-256, in hexadecimal digits, and moves it to final, whole
// and safe from a loss of power. Then it takes away agents that nobody used for long; one that runs is never among them. Other copies may be put at final at the
// same time. On an error final is as it was.
func Install(hash, temp, final string) error {
	if err := verify(hash, temp); err != nil {
		return err
	}
	if err := atomicfile.Adopt(temp, final, 0o755, atomicfile.Durable); err != nil {
		return fmt.Errorf("install the agent: %w", err)
	}
	sweep(filepath.Dir(filepath.Dir(final)), filepath.Base(filepath.Dir(final)), time.Now())
	return nil
}

func verify(hash, path string) error {
	f, err := os.Open(path)
	if err != nil {
		return fmt.Errorf("verify the copy of the agent: %w", err)
	}
	defer f.Close()
	sum := sha256.New()
	if _, err := io.Copy(sum, f); err != nil {
		return fmt.Errorf("verify the copy of the agent: %w", err)
	}
	if got := hex.EncodeToString(sum.Sum(nil)); got != hash {
		return fmt.Errorf("verify the copy of the agent: its SHA-256 is %s, and %s was announced", got, hash)
	}
	return nil
}

// KeepInUse marks the agent that runs from the file at path as used, now and once a day until ctx ends, so that no other installation takes it away. It does nothing
// for a program that Install didn't put where it is.
func KeepInUse(ctx context.Context, path string) {
	if filepath.Base(path) != agentFile || !agentFolder.MatchString(filepath.Base(filepath.Dir(path))) {
		return
	}
	tick := time.NewTicker(touchEvery)
	defer tick.Stop()
	for {
		now := time.Now()
		_ = os.Chtimes(path, now, now) // another account's, or gone: then it isn't ours to keep
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
	}
}

// sweep takes away what is old in a folder of agents, but for the agent named keep: parts of copies, agents that were not in use for unusedAfter, and of the others those
// beyond mostAgents that were not in use for two days. What it can't remove it leaves; the next one tries again. It touches nothing that an agent's folder doesn't hold.
func sweep(folder, keep string, now time.Time) {
	entries, err := os.ReadDir(folder)
	if err != nil {
		return
	}
	type agent struct {
		dir  string
		used time.Time
	}
	var agents []agent
	for _, e := range entries {
		if !e.IsDir() || !agentFolder.MatchString(e.Name()) {
			continue
		}
		dir := filepath.Join(folder, e.Name())
		sweepParts(dir, now)
		if e.Name() == keep {
			continue
		}
		if fi, err := os.Lstat(filepath.Join(dir, agentFile)); err == nil {
			agents = append(agents, agent{dir: dir, used: fi.ModTime()})
		} else if fi, err := e.Info(); err == nil && now.Sub(fi.ModTime()) > partAfter {
			os.Remove(dir) // where it is empty
		}
	}
	slices.SortFunc(agents, func(a, b agent) int { return b.used.Compare(a.used) })
	for i, a := range agents {
		if idle := now.Sub(a.used); idle > unusedAfter || i >= mostAgents && idle > 2*touchEvery {
			os.Remove(filepath.Join(a.dir, agentFile))
			os.Remove(a.dir)
		}
	}
}

// sweepParts takes away what copies and looks that were cut off left in the folder of one agent.
func sweepParts(dir string, now time.Time) {
	entries, err := os.ReadDir(dir)
	if err != nil {
		return
	}
	for _, e := range entries {
		if !strings.HasPrefix(e.Name(), "part.") && !strings.HasPrefix(e.Name(), "try.") {
			continue
		}
		if fi, err := e.Info(); err == nil && fi.Mode().Type() == fs.FileMode(0) && now.Sub(fi.ModTime()) > partAfter {
			os.Remove(filepath.Join(dir, e.Name()))
		}
	}
}
