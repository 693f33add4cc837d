package reconcile

import (
	"context"
	"testing"
	"testing/synctest"
	"time"
)

func TestGatheringGoesOnTogether(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		began := time.Now()
		took := func(what string, want time.Duration) {
			t.Helper()
			if got := time.Since(began); got != want {
				t.Errorf("%s: it waited for %v, want %v", what, got, want)
			}
		}
		alone := gather(1)
		alone.arrive()
		alone.wait(t.Context())
		took("one", 0)

		three := gather(3)
		for n := range 3 {
			time.AfterFunc(time.Duration(n)*10*time.Millisecond, three.arrive)
		}
		three.wait(t.Context())
		three.wait(t.Context())
		took("three", 20*time.Millisecond)

		began = time.Now()
		late := gather(2)
		late.arrive()
		late.wait(t.Context())
		took("one of two", gathered)

		began = time.Now()
		ctx, cancel := context.WithTimeout(t.Context(), time.Millisecond)
		defer cancel()
		gather(1).wait(ctx)
		took("one whose caller gives up", time.Millisecond)
	})
}
