package systemd

import (
	"context"
	"errors"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"
)

// TestReloadsAreJoined: whoever wishes for a reload gets one that began after the wish, and many wishes at once one together.
func TestReloadsAreJoined(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var r reloads
		var begun atomic.Int64
		reload := func(context.Context) error {
			begun.Add(1)
			time.Sleep(time.Second)
			return nil
		}
		var wg sync.WaitGroup
		for range 500 {
			wg.Go(func() {
				before := begun.Load()
				if err := r.run(t.Context(), reload); err != nil {
					t.Error(err)
				}
				if begun.Load() == before {
					t.Error("told of a reload that had begun before the wish")
				}
			})
		}
		wg.Wait()
		if n := r.count.Load(); n != 1 {
			t.Errorf("%d reloads for 500 wishes at once, want one", n)
		}
		wg.Go(func() { r.run(t.Context(), reload) })
		time.Sleep(500 * time.Millisecond) // the second one is under way
		for range 10 {
			wg.Go(func() { r.run(t.Context(), reload) })
		}
		wg.Wait()
		if n := r.count.Load(); n != 3 {
			t.Errorf("%d reloads, want one for those who came while one was under way", n-2)
		}
	})
}

// TestAReloadThatFails is told to all who wished for it, and to nobody after.
func TestAReloadThatFails(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var r reloads
		refused := errors.New("refused")
		var wg sync.WaitGroup
		for range 3 {
			wg.Go(func() {
				if err := r.run(t.Context(), func(context.Context) error { return refused }); !errors.Is(err, refused) {
					t.Errorf("got %v", err)
				}
			})
		}
		wg.Wait()
		if err := r.run(t.Context(), func(context.Context) error { return nil }); err != nil {
			t.Errorf("the next one says %v", err)
		}
		ctx, cancel := context.WithCancel(t.Context())
		cancel()
		if err := r.run(ctx, func(context.Context) error { return nil }); !errors.Is(err, context.Canceled) {
			t.Errorf("who waits no longer hears %v", err)
		}
		synctest.Wait()
		time.Sleep(time.Second) // the one that nobody waits for
	})
}
