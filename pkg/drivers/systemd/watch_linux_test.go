package systemd

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"sync"

	"reconciler.dev/reconciler/internal/testprog"
	"reconciler.dev/reconciler/pkg/spec"
)

// heard collects what a watch tells.
type heard struct {
	mu    sync.Mutex
	names []string
}

func (h *heard) add(name string) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.names = append(h.names, name)
}

// take tells whether a name was heard since it was asked last.
func (h *heard) take(name string) bool {
	h.mu.Lock()
	defer h.mu.Unlock()
	was := slices.Contains(h.names, name)
	h.names = nil
	return was
}

func (r *rig) listen() *heard {
	r.Helper()
	h := &heard{}
	ctx, cancel := context.WithCancel(r.Context())
	done := make(chan error, 1)
	go func() { done <- r.Watch(ctx, h.add) }()
	r.Cleanup(func() {
		cancel()
		if err := <-done; !errors.Is(err, context.Canceled) {
			r.Errorf("the watch ended: %v", err)
		}
	})
	r.eventually("the watch is armed", func() bool { return h.take("") })
	return h
}

func watchHearsEdits(r *rig) {
	d := r.daemon("web")
	r.begin(d)
	h := r.listen()
	for _, c := range []struct {
		what string
		do   func()
	}{
		{"an edit", func() {
			text, err := os.ReadFile(r.scope.file("web.service"))
			if err != nil {
				r.Fatal(err)
			}
			r.write(r.scope.file("web.service"), "# hello\n"+string(text))
		}},
		{"a drop-in", func() { r.write(filepath.Join(r.scope.units, "web.service.d", "x.conf"), "[Service]\nNice=1\n") }},
		{"an edit of it", func() { r.write(filepath.Join(r.scope.units, "web.service.d", "x.conf"), "[Service]\nNice=2\n") }},
		{"disable", func() { r.systemctl("disable", "web.service") }},
		{"set-property --runtime", func() { r.systemctl("set-property", "--runtime", "web.service", "TasksMax=99") }},
	} {
		c.do()
		r.eventually("the watch tells of "+c.what, func() bool { return h.take("web") })
	}
	r.systemctl("daemon-reexec")
	r.eventually("the watch is armed again", func() bool { return h.take("") })
	r.eventually("it is seen again", func() bool { return r.look("web").State == spec.Running })
	r.run("kill", "-9", fmt.Sprint(r.look("web").Instance.PID))
	r.eventually("the watch tells of the death", func() bool { return h.take("web") })
}

func watchKnowsEnds(r *rig) {
	r.listen()
	d := r.daemon("web", func(d *spec.Daemon, _ *testprog.Options) { d.Spec.Restart.Policy = spec.RestartNever })
	pid := r.begin(d).Instance.PID
	r.run("kill", "-TERM", fmt.Sprint(pid)) // which systemd takes for a good end, and forgets
	r.eventually("it has ended", func() bool { return r.look("web").State == spec.Exited })
	r.eventually("the end is known", func() bool {
		e := r.look("web").Instance.Exit
		return e != nil && e.Known && e.Signal == "SIGTERM" && !e.Asked
	})
}
