package local

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"slices"
	"sync"
	"time"

	"reconciler.dev/reconciler/internal/gpu"
	"reconciler.dev/reconciler/internal/spawn"
	"reconciler.dev/reconciler/pkg/spec"
)

const (
	// gpuPatience is how long a GPU's tool may take.
	gpuPatience = 10 * time.Second
	// gpuWait is how long the first figures wait for it. Later ones take what it said last.
	gpuWait = 2 * time.Second
	// gpuAge is how old what it said may be.
	gpuAge = 30 * time.Second
	// gpuPause is the least time between two runs of it, which cost more than all else.
	gpuPause = time.Second
	// maxGPUText is the most that it may print.
	maxGPUText = 1 << 20
)

// errGPUSlow is why nothing is known while a tool doesn't answer.
var errGPUSlow = errors.New("the GPU's tool doesn't answer")

// gpus asks the tools of GPUs, beside the passes that want to know.
type gpus struct {
	machine gpu.Machine
	mu      sync.Mutex
	said    gpu.Reading
	err     error
	at      time.Time     // when it was asked what it said last; zero: never
	asking  chan struct{} // closed when the run under way has ended; nil: none is
}

// gpuMachine is this machine.
func gpuMachine(spawner func() (*spawn.Spawner, error)) gpu.Machine {
	folders := append(filepath.SplitList(os.Getenv("PATH")), "/usr/bin", "/usr/local/bin", "/opt/rocm/bin", "/usr/lib/wsl/lib", "/run/current-system/sw/bin")
	return gpu.Machine{Path: folders, Dev: "/dev", Run: func(ctx context.Context, path string, args ...string) ([]byte, error) {
		s, err := spawner()
		if err != nil {
			return nil, err
		}
		env := []string{"PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin", "LC_ALL=C"}
		return s.Run(ctx, spawn.Cmd{Path: path, Args: append([]string{path}, args...), Env: env, Dir: "/", Umask: 0o022}, maxGPUText)
	}}
}

// read returns what the tools say, newly asked where that is due. The first time it waits for them, for a while.
func (g *gpus) read(ctx context.Context) (gpu.Reading, error) {
	g.mu.Lock()
	if g.asking == nil && time.Since(g.at) >= gpuPause {
		g.asking = make(chan struct{})
		go g.ask(context.WithoutCancel(ctx), g.asking)
	}
	wait := g.asking
	if time.Since(g.at) < gpuAge {
		wait = nil
	}
	g.mu.Unlock()
	if wait != nil {
		timer := time.NewTimer(gpuWait)
		defer timer.Stop()
		select {
		case <-wait:
		case <-timer.C:
		case <-ctx.Done():
		}
	}
	g.mu.Lock()
	defer g.mu.Unlock()
	if time.Since(g.at) >= gpuAge {
		return gpu.Reading{}, errGPUSlow
	}
	return g.said, g.err
}

// ask asks once, and closes done.
func (g *gpus) ask(ctx context.Context, done chan struct{}) {
	ctx, cancel := context.WithTimeout(ctx, gpuPatience)
	defer cancel()
	began := time.Now()
	said, err := g.machine.Read(ctx)
	g.mu.Lock()
	g.said, g.err, g.at, g.asking = said, err, began, nil
	g.mu.Unlock()
	close(done)
}

// fillGPUs joins what the tools say with the processes of a daemon.
func fillGPUs(s *spec.Sample, said gpu.Reading, err error) {
	if err != nil {
		s.Missing = append(s.Missing, spec.Loss{Field: "gpus", Reason: err.Error()})
		return
	}
	s.GPUs = []spec.GPUUse{}
	at := map[string]int{}
	for _, u := range said.Uses {
		if _, mine := slices.BinarySearch(s.PIDs, u.PID); !mine {
			continue
		}
		i, seen := at[u.UUID]
		if !seen {
			d := said.Devices[u.UUID]
			i, at[u.UUID] = len(s.GPUs), len(s.GPUs)
			s.GPUs = append(s.GPUs, spec.GPUUse{UUID: u.UUID, Name: d.Name, Total: d.Total, Utilisation: d.Utilisation, Memory: new(int64)})
		}
		switch g := &s.GPUs[i]; {
		case u.Memory == nil:
			g.Memory = nil
		case g.Memory != nil:
			*g.Memory += *u.Memory
		}
	}
}
