package drivers

import (
	"context"
	"sync"

	"reconciler.dev/reconciler/internal/filewatch"
)

// watchBeside is watch, and also tells of daemons that come into the book, or go.
func (b *pauseBook) watchBeside(ctx context.Context, changed func(name string), watch func(context.Context, func(name string)) error) error {
	ctx, cancel := context.WithCancel(ctx)
	var wg sync.WaitGroup
	defer wg.Wait()
	defer cancel()
	w := filewatch.New(filewatch.Options{Roots: []string{b.path()}, Quiet: afterwards})
	before, _ := b.read() // an error is found by the next look, which reads it too
	wg.Go(func() {
		_ = w.Run(ctx, func() { // it ends only with ctx
			now, err := b.read()
			if err != nil {
				changed("")
			}
			for name := range before {
				if _, still := now[name]; !still {
					changed(name)
				}
			}
			for name := range now {
				if _, already := before[name]; !already {
					changed(name)
				}
			}
			before = now
		})
	})
	return watch(ctx, changed)
}
