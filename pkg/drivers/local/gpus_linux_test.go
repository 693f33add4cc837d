package local

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"

	"reconciler.dev/reconciler/internal/gpu"
	"reconciler.dev/reconciler/pkg/drivers"
	"reconciler.dev/reconciler/pkg/spec"
)

// TestGPUsOfADaemon runs a fake nvidia-smi, which says that this process uses a GPU, and one that isn't the daemon's does, too.
func TestGPUsOfADaemon(t *testing.T) {
	h, _ := measured()
	dir := t.TempDir()
	script := fmt.Sprintf(`#!/bin/sh
case "$1" in
--query-gpu=*) echo 'GPU-a, NVIDIA H100, 81559, 97'; echo 'GPU-b, NVIDIA H100, 81559, 3';;
--query-compute-apps=*) echo 'GPU-a, %d, 1000'; echo 'GPU-a, 1, 7'; echo 'GPU-a, %d, 24';;
esac
`, os.Getpid(), os.Getpid())
	for name, text := range map[string]string{"nvidiactl": "", "nvidia-smi": script} {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o755); err != nil {
			t.Fatal(err)
		}
	}
	h.gpus.machine.Path, h.gpus.machine.Dev = []string{dir}, dir
	all := stats(t, h, drivers.StatsQuery{})
	memory, total, busy := int64(1024<<20), int64(81559<<20), 97.0
	want := []spec.GPUUse{{UUID: "GPU-a", Name: "NVIDIA H100", Memory: &memory, Total: &total, Utilisation: &busy}}
	if diff := cmp.Diff(want, all[1].GPUs); diff != "" {
		t.Errorf("%+v\n%s", all[1].Missing, diff)
	}
	if all[0].GPUs != nil {
		t.Errorf("what has ended uses %+v", all[0].GPUs)
	}
}

func TestWithoutAGPUNobodyUsesOne(t *testing.T) {
	h, _ := measured()
	h.gpus.machine.Dev = t.TempDir()
	if web := stats(t, h, drivers.StatsQuery{})[1]; web.GPUs == nil || len(web.GPUs) > 0 {
		t.Errorf("it uses %+v", web.GPUs)
	}
	h, _ = measured()
	h.gpus.machine.Dev, h.gpus.machine.Path = t.TempDir(), nil
	if err := os.WriteFile(filepath.Join(h.gpus.machine.Dev, "nvidiactl"), nil, 0o600); err != nil {
		t.Fatal(err)
	}
	web := stats(t, h, drivers.StatsQuery{})[1]
	last := web.Missing[len(web.Missing)-1]
	if web.GPUs != nil || last.Field != "gpus" || !strings.Contains(last.Reason, "nvidia-smi isn't") {
		t.Errorf("with a driver, and no tool that tells: %+v, %+v", web.GPUs, web.Missing)
	}
}

// TestASlowGPUToolKeepsNobodyWaitingTwice: it is run once at a time, and no more often than once a second; what it said last stands until it has answered.
func TestASlowGPUToolKeepsNobodyWaitingTwice(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var runs atomic.Int32
		took := 100 * time.Millisecond
		g := &gpus{machine: gpu.Machine{Path: []string{"/bin"}, Dev: "/", Run: func(ctx context.Context, _ string, args ...string) ([]byte, error) {
			if strings.HasPrefix(args[0], "--query-gpu") {
				runs.Add(1)
				select {
				case <-time.After(took):
				case <-ctx.Done():
					return nil, ctx.Err()
				}
			}
			return nil, nil
		}}}
		dir := t.TempDir()
		for _, name := range []string{"nvidiactl", "nvidia-smi"} {
			if err := os.WriteFile(filepath.Join(dir, name), nil, 0o755); err != nil {
				t.Fatal(err)
			}
		}
		g.machine.Path, g.machine.Dev = []string{dir}, dir
		read := func(waits time.Duration) error {
			t.Helper()
			began := time.Now()
			_, err := g.read(t.Context())
			if waited := time.Since(began); waited != waits {
				t.Errorf("waited %v, want %v", waited, waits)
			}
			synctest.Wait()
			return err
		}
		if err := read(took); err != nil {
			t.Error(err)
		}
		for range 10 { // within a second
			if err := read(0); err != nil {
				t.Error(err)
			}
		}
		if runs.Load() != 1 {
			t.Errorf("it ran %d times within a second", runs.Load())
		}
		took = time.Hour
		time.Sleep(2 * time.Second)
		if err := read(0); err != nil || runs.Load() != 2 {
			t.Errorf("what it said before should stand: %v, after %d runs", err, runs.Load())
		}
		time.Sleep(5 * time.Second)
		if err := read(0); err != nil || runs.Load() != 2 {
			t.Errorf("while it runs it was run again, %d times: %v", runs.Load(), err)
		}
		time.Sleep(gpuPatience)
		if err := read(0); err == nil {
			t.Error("it was ended, and nothing says so")
		}
		time.Sleep(time.Minute)
		if err := read(gpuWait); err == nil {
			t.Error("what it said a minute ago is told as if it were so")
		}
		time.Sleep(gpuPatience)
	})
}
