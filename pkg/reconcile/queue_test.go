package reconcile

import (
	"context"
	"fmt"
	"math/rand/v2"
	"runtime"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"
)

// dueNow returns what is due now, in order, without waiting, and is Done with each.
func dueNow(t *testing.T, q *Queue) []string {
	t.Helper()
	var keys []string
	for {
		key, ok := q.take()
		if !ok {
			return keys
		}
		keys = append(keys, key)
		q.Done(key)
	}
}

func wantDue(t *testing.T, q *Queue, want ...string) {
	t.Helper()
	synctest.Wait() // let a timer that is due now fire
	if diff := cmp.Diff(want, dueNow(t, q)); diff != "" {
		t.Errorf("due (-want +got):\n%s", diff)
	}
}

func TestQueueHandsOutEachNameOnceInOrder(t *testing.T) {
	q := NewQueue()
	for _, k := range []string{"b", "a", "b", "c", "a"} {
		q.Add(k)
	}
	if diff := cmp.Diff([]string{"b", "a", "c"}, dueNow(t, q)); diff != "" {
		t.Errorf("due (-want +got):\n%s", diff)
	}
}

func TestQueueKeepsANameFromASecondWorkerUntilDone(t *testing.T) {
	q := NewQueue()
	q.Add("a")
	if key, ok := q.Get(t.Context()); key != "a" || !ok {
		t.Fatalf("Get = %q, %v", key, ok)
	}
	q.Add("a") // changed while it is being handled: the look in hand may have missed it
	q.Add("a")
	if key, ok := q.take(); ok {
		t.Fatalf("%q was handed out twice at once", key)
	}
	q.Done("a")
	if diff := cmp.Diff([]string{"a"}, dueNow(t, q)); diff != "" {
		t.Errorf("due after Done (-want +got):\n%s", diff)
	}
	if got := dueNow(t, q); got != nil {
		t.Errorf("due again: %q", got)
	}
}

func TestQueueAddAfterTheEarliestWins(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		q := NewQueue()
		q.AddAfter("later", 5*time.Second)
		q.AddAfter("sooner", 3*time.Second)
		q.AddAfter("sooner", 9*time.Second) // doesn't put it off
		q.AddAfter("moved", 9*time.Second)
		q.AddAfter("moved", 1*time.Second) // pulls it in
		wantDue(t, q)
		time.Sleep(time.Second)
		wantDue(t, q, "moved")
		time.Sleep(2*time.Second - 1)
		wantDue(t, q)
		time.Sleep(time.Nanosecond)
		wantDue(t, q, "sooner")
		time.Sleep(2 * time.Second)
		wantDue(t, q, "later")
		time.Sleep(time.Hour)
		wantDue(t, q) // and nothing of what lost
	})
}

func TestQueueAddForgetsTheLaterTime(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		q := NewQueue()
		q.AddAfter("a", time.Second)
		q.Add("a")
		q.AddAfter("a", time.Second) // it is due: that is earlier
		wantDue(t, q, "a")
		time.Sleep(time.Hour)
		wantDue(t, q)
	})
}

func TestQueueAddAfterWhileAWorkerHasIt(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		q := NewQueue()
		q.Add("a")
		q.take()
		q.AddAfter("a", time.Second)
		time.Sleep(2 * time.Second)
		synctest.Wait()
		if key, ok := q.take(); ok {
			t.Fatalf("%q was handed out twice at once", key)
		}
		q.Done("a")
		wantDue(t, q, "a")
	})
}

func TestQueueGetWaits(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		q := NewQueue()
		start := time.Now()
		q.AddAfter("a", time.Minute)
		if key, ok := q.Get(t.Context()); key != "a" || !ok || time.Since(start) != time.Minute {
			t.Errorf("Get = %q, %v after %v", key, ok, time.Since(start))
		}
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		if key, ok := q.Get(ctx); ok {
			t.Errorf("Get = %q of an empty queue", key)
		}
		q.Add("b")
		if key, ok := q.Get(ctx); ok {
			t.Errorf("Get = %q with a ctx that has ended", key)
		}
	})
}

func TestQueueShutdown(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		q := NewQueue()
		q.AddAfter("later", time.Second)
		var wg sync.WaitGroup
		for range 3 {
			wg.Go(func() {
				if key, ok := q.Get(t.Context()); ok {
					t.Errorf("Get = %q after Shutdown", key)
				}
			})
		}
		synctest.Wait()
		q.Shutdown()
		q.Shutdown()
		wg.Wait()
		q.Add("more")
		time.Sleep(time.Minute)
		if key, ok := q.Get(t.Context()); ok {
			t.Errorf("Get = %q after Shutdown", key)
		}
		q.Done("never taken")
	})
}

func TestQueueWakesAnotherWorkerWhereOneGivesUp(t *testing.T) {
	for range 200 {
		synctest.Test(t, func(t *testing.T) {
			q := NewQueue()
			ctx, cancel := context.WithCancel(t.Context())
			got := make(chan string, 2)
			for _, ctx := range []context.Context{ctx, t.Context()} {
				go func() {
					if key, ok := q.Get(ctx); ok {
						got <- key
					}
				}()
			}
			synctest.Wait()
			go cancel()
			q.Add("a")
			synctest.Wait()
			if len(got) != 1 {
				t.Fatalf("%d workers got the key", len(got))
			}
			q.Shutdown()
		})
	}
}

func TestQueueIdleCostsNoGoroutine(t *testing.T) {
	before := runtime.NumGoroutine()
	q := NewQueue()
	for i := range 1000 {
		q.AddAfter(fmt.Sprint(i), time.Hour)
	}
	if after := runtime.NumGoroutine(); after > before+3 { // some of the runtime come and go
		t.Errorf("%d goroutines for 1000 names that wait", after-before)
	}
	q.Shutdown()
}

func TestQueueForgetsNamesThatNobodyWants(t *testing.T) {
	q := NewQueue()
	for i := range 1000 {
		q.Add(fmt.Sprint(i))
	}
	dueNow(t, q)
	if len(q.items) != 0 {
		t.Errorf("%d names are remembered", len(q.items))
	}
}

// TestQueueUnderLoad checks, with many workers and additions, the two promises that everything else rests on: a name is in one hand at a
// time, and after the last addition of a name there is one more look at it.
func TestQueueUnderLoad(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		const names, workers, adders, rounds = 7, 5, 4, 300
		q := NewQueue()
		var inHand, version, seen [names]atomic.Int64
		var pool, add sync.WaitGroup
		for range workers {
			pool.Go(func() {
				for {
					key, ok := q.Get(t.Context())
					if !ok {
						return
					}
					n := int(key[0] - 'a')
					if inHand[n].Add(1) != 1 {
						t.Errorf("%s is in two hands", key)
					}
					seen[n].Store(version[n].Load())
					time.Sleep(time.Duration(rand.IntN(3)) * time.Millisecond)
					inHand[n].Add(-1)
					q.Done(key)
				}
			})
		}
		for range adders {
			add.Go(func() {
				for range rounds {
					n := rand.IntN(names)
					version[n].Add(1)
					q.AddAfter(string(rune('a'+n)), time.Duration(rand.IntN(5))*time.Millisecond)
					time.Sleep(time.Duration(rand.IntN(2)) * time.Millisecond)
				}
			})
		}
		add.Wait()
		time.Sleep(time.Second)
		q.Shutdown()
		pool.Wait()
		for n := range names {
			if seen[n].Load() != version[n].Load() {
				t.Errorf("%c: looked at as of change %d, the last was %d", 'a'+n, seen[n].Load(), version[n].Load())
			}
		}
	})
}

func BenchmarkQueue(b *testing.B) {
	q := NewQueue()
	keys := make([]string, 500)
	for i := range keys {
		keys[i] = fmt.Sprint("daemon-", i)
	}
	for i := 0; b.Loop(); i++ {
		key := keys[i%len(keys)]
		q.AddAfter(key, time.Hour)
		q.Add(key)
		q.take()
		q.Done(key)
	}
}

// TestQueueTellsHowLongTheFirstHasWaited for a worker, and nothing of those in a worker's hand or that aren't due yet.
func TestQueueTellsHowLongTheFirstHasWaited(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		q := NewQueue()
		q.AddAfter("later", time.Minute)
		q.Add("a")
		time.Sleep(time.Second)
		q.Add("b")
		time.Sleep(time.Second)
		if d := q.Behind(); d != 2*time.Second {
			t.Errorf("a has waited for 2s, and it says %v", d)
		}
		q.take()
		if d := q.Behind(); d != time.Second {
			t.Errorf("b has waited for 1s, and it says %v", d)
		}
		q.take()
		q.Add("a")
		time.Sleep(time.Second)
		if d := q.Behind(); d != 0 {
			t.Errorf("a worker has all, and it says %v", d)
		}
		q.Done("a")
		time.Sleep(time.Second)
		if d := q.Behind(); d != time.Second {
			t.Errorf("a has waited for 1s since its worker was done, and it says %v", d)
		}
		q.Shutdown()
	})
}
