package driverstest

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
	"time"

	"reconciler.dev/reconciler/pkg/drivers"
	"reconciler.dev/reconciler/pkg/spec"
)

func watchCases() []testCase {
	return []testCase{
		{"says when it is armed", func(b *bench) { b.watch(b.Driver) }},
		{"ends with its context", func(b *bench) {
			ctx, cancel := context.WithCancel(b.ctx())
			done := make(chan error, 1)
			armed := make(chan struct{}, 100)
			go func() { done <- b.Driver.Watch(ctx, func(string) { armed <- struct{}{} }) }()
			<-armed
			cancel()
			if err := <-done; !errors.Is(err, context.Canceled) {
				b.t.Errorf("got %v, want context.Canceled", err)
			}
		}},
		{"tells of a death", func(b *bench) {
			b.start(b.daemon("web", b.stay()))
			w := b.watch(b.Driver)
			b.kill("web")
			w.hears("web")
		}},
		{"tells of the death of what is started later", func(b *bench) {
			w := b.watch(b.Driver)
			b.start(b.daemon("web", b.stay()))
			w.hears("web")
			w.forget()
			b.kill("web")
			w.hears("web")
		}},
		{"tells of what another process starts, and of its death", func(b *bench) {
			w := b.watch(b.Driver)
			other := b.Reopen()
			if err := other.Apply(b.ctx(), b.step(spec.VerbStart, b.daemon("web", b.stay()))); err != nil {
				b.t.Fatal(err)
			}
			w.hears("web")
			b.wantState("web", spec.Running)
			b.eventually("the program reports", func() bool { return b.copies() == 1 })
			w.forget()
			b.kill("web")
			w.hears("web")
		}},
		{"tells of what another process stamps and stops", func(b *bench) {
			d := b.daemon("web", b.stay())
			b.start(d)
			w := b.watch(b.Driver)
			s := b.step(spec.VerbStamp, d)
			s.Generation = 2
			other := b.Reopen()
			if err := other.Apply(b.ctx(), s); err != nil {
				b.t.Fatal(err)
			}
			w.hears("web")
			w.forget()
			if err := other.Apply(b.ctx(), b.step(spec.VerbStop, d)); err != nil {
				b.t.Fatal(err)
			}
			w.hears("web")
			b.wantState("web", spec.Exited)
		}},
		{"tells of a death that nobody else watched", func(b *bench) {
			if err := b.Reopen().Apply(b.ctx(), b.step(spec.VerbStart, b.daemon("web", b.stay()))); err != nil {
				b.t.Fatal(err)
			}
			w := b.watch(b.Driver)
			b.wantState("web", spec.Running)
			w.forget()
			b.kill("web")
			w.hears("web")
		}},
		{"tells of a config file that somebody changed", func(b *bench) {
			d := b.daemon("web", b.stay())
			path := b.config(d, "conf", "right")
			b.must(spec.VerbFiles, sealed(d))
			b.start(d)
			w := b.watch(b.Driver)
			n := 0
			b.eventually("a change is told", func() bool { // the list of files is read a moment after the watch is armed
				n++
				b.write(path, fmt.Sprint("wrong ", n), 0o644)
				return slices.Contains(w.all(), "web")
			})
			<-time.After(2 * soon)
			w.forget()
			b.write(path, "wrong once more", 0o644)
			w.hears("web")
		}},
		{"tells of a pause, and of its end", func(b *bench) {
			d := b.daemon("web", b.stay())
			w, other := b.watch(b.Driver), b.Reopen()
			for _, verb := range []spec.Verb{spec.VerbPause, spec.VerbResume} {
				w.forget()
				if err := other.Apply(b.ctx(), b.step(verb, d)); err != nil {
					b.t.Fatal(err)
				}
				w.hears("web")
			}
		}},
		{"tells of many deaths at once", func(b *bench) {
			var names []string
			for i := range 12 {
				name := fmt.Sprint("web", i)
				o := b.stay()
				o.Role = name
				b.must(spec.VerbStart, b.daemon(name, o))
				names = append(names, name)
			}
			b.eventually("all report", func() bool { return len(b.report()) == len(names) })
			w := b.watch(b.Driver)
			for _, name := range names {
				if err := b.m.Signal(b.observe(name).Instance.PID, "SIGKILL"); err != nil {
					b.t.Fatal(err)
				}
			}
			for _, name := range names {
				w.hears(name)
				b.becomes(name, spec.Exited)
			}
		}},
		{"is quiet while nothing happens", func(b *bench) {
			b.start(b.daemon("web", b.stay()))
			w := b.watch(b.Driver)
			b.eventually("nothing happens, and nothing is told", func() bool { // of the start it may be told for a while
				w.forget()
				b.observe("web")
				<-time.After(2 * soon)
				return len(w.all()) == 0
			})
		}},
		{"serves several listeners", func(b *bench) {
			b.start(b.daemon("web", b.stay()))
			one, two := b.watch(b.Driver), b.watch(b.Driver)
			b.kill("web")
			one.hears("web")
			two.hears("web")
		}},
	}
}

// listener collects what a Watch told.
type listener struct {
	b     *bench
	mu    sync.Mutex
	heard []string
}

// watch begins to listen and returns once the watch is armed.
func (b *bench) watch(d drivers.Driver) *listener {
	b.t.Helper()
	l := &listener{b: b}
	ctx, cancel := context.WithCancel(b.t.Context())
	done := make(chan error, 1)
	go func() { done <- d.Watch(ctx, l.changed) }()
	b.t.Cleanup(func() {
		cancel()
		if err := <-done; !errors.Is(err, context.Canceled) {
			b.t.Errorf("the watch ended: %v", err)
		}
	})
	b.eventually("the watch is armed", func() bool { return slices.Contains(l.all(), "") })
	return l
}

func (l *listener) changed(name string) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.heard = append(l.heard, name)
}

func (l *listener) all() []string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return slices.Clone(l.heard)
}

func (l *listener) forget() {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.heard = nil
}

// hears waits until name, or that something was missed, is told since the last forget.
func (l *listener) hears(name string) {
	l.b.t.Helper()
	l.b.eventually("the watch tells of "+name, func() bool {
		return slices.ContainsFunc(l.all(), func(heard string) bool { return heard == name })
	})
}
