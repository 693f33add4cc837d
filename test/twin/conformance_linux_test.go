package twin

import (
	"context"
	"io"
	"net"
	"os"
	"strings"
	"testing"

	"reconciler.dev/reconciler/internal/layout"
	"reconciler.dev/reconciler/internal/sockets"
	"reconciler.dev/reconciler/internal/spawn"
	"reconciler.dev/reconciler/pkg/drivers"
	"reconciler.dev/reconciler/pkg/drivers/driverstest"
	"reconciler.dev/reconciler/pkg/drivers/local"
	"reconciler.dev/reconciler/pkg/drivers/process"
	"reconciler.dev/reconciler/pkg/remote"
	"reconciler.dev/reconciler/pkg/spec"
)

func TestMain(m *testing.M) {
	spawn.Main()
	if status, called := sockets.Main(context.Background(), os.Args, os.Stdout); called {
		os.Exit(status)
	}
	os.Exit(m.Run())
}

// twin connects to an agent for host in this process, over a pipe.
func twin(t *testing.T, host drivers.Host) *remote.Host {
	t.Helper()
	ours, theirs := net.Pipe()
	served := make(chan struct{})
	go func() {
		defer close(served)
		defer theirs.Close()
		if err := remote.Serve(context.Background(), theirs, theirs, remote.Local{Host: host, Facts: remote.Facts{Version: "test", Path: os.Getenv("PATH")}}); err != nil {
			t.Errorf("serve: %v", err)
		}
	}()
	h, err := remote.Connect(context.Background(), ours, remote.ConnectOptions{Name: "far"})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_ = h.Close()
		<-served
	})
	return h
}

// TestConformance: a driver behind a link keeps every promise that it keeps here.
func TestConformance(t *testing.T) {
	driverstest.Run(t, func(t *testing.T) driverstest.Subject {
		dirs := layout.Under(t.TempDir())
		if err := dirs.Make(); err != nil {
			t.Fatal(err)
		}
		open := func() drivers.Driver {
			d, err := process.New(process.Options{Dirs: dirs})
			if err != nil {
				t.Fatal(err)
			}
			far, err := twin(t, local.New(dirs, d)).Driver(spec.DriverProcess)
			if err != nil {
				t.Fatal(err)
			}
			return far
		}
		return driverstest.Subject{Driver: open(), Reopen: open, Dirs: []string{dirs.State, dirs.Run, dirs.Log}}
	})
}

// TestErrorsNameTheHost: what goes wrong there is told with the name by which the host is known here.
func TestErrorsNameTheHost(t *testing.T) {
	dirs := layout.Under(t.TempDir())
	d, err := process.New(process.Options{Dirs: dirs})
	if err != nil {
		t.Fatal(err)
	}
	far := twin(t, local.New(dirs, d))
	_, notKept := far.Get(t.Context(), "sha256:"+strings.Repeat("0", 64))
	for what, err := range map[string]error{
		"logs of none": far.Logs(t.Context(), "none", io.Discard, drivers.LogOptions{}),
		"a content":    notKept,
		"a check":      far.Probe(t.Context(), "none", spec.Health{Exec: []string{"true"}}),
	} {
		if err == nil || what != "a check" && !strings.Contains(err.Error(), "on far") || strings.Contains(err.Error(), "localhost") {
			t.Errorf("%s: %v", what, err)
		}
	}
}
