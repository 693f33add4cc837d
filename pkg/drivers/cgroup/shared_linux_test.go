package cgroup

import (
	"errors"
	"sync"
	"testing"
	"testing/synctest"
	"time"
)

// TestShared: of many who ask at once, those who asked before the work began get its result, and the others together that of the next.
func TestShared(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var s shared[int]
		n := 0
		work := func() (int, error) {
			n++
			mine := n
			time.Sleep(time.Second)
			if mine == 3 {
				return 0, errors.New("the third")
			}
			return mine, nil
		}
		got := make([]int, 20)
		var wg sync.WaitGroup
		for i := range got {
			wg.Go(func() {
				time.Sleep(time.Duration(i) * time.Millisecond)
				var err error
				if got[i], err = s.do(work); err != nil {
					t.Error(err)
				}
			})
		}
		wg.Wait()
		for i, v := range got {
			if want := min(i+1, 2); v != want {
				t.Errorf("the one who asked at %d ms got %d, want %d", i, v, want)
			}
		}
		if _, err := s.do(work); err == nil || n != 3 {
			t.Errorf("after %d times: %v", n, err)
		}
	})
}
