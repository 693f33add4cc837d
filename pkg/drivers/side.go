package drivers

import (
	"sync"
	"sync/atomic"
)

const (
	// fewAlone is how many daemons are looked at one after the other.
	fewAlone = 8
	// lookers is how many are looked at side by side where they are more. Looking waits for nothing, so more would gain nothing on a small machine.
	lookers = 2
)

// Side calls do for 0 to n-1, side by side where these are many, and returns when all calls have. It is for looks at daemons, which wait for little.
func Side(n int, do func(int)) {
	if n <= fewAlone {
		for i := range n {
			do(i)
		}
		return
	}
	var next atomic.Int64
	var wg sync.WaitGroup
	for range lookers {
		wg.Go(func() {
			for i := int(next.Add(1)) - 1; i < n; i = int(next.Add(1)) - 1 {
				do(i)
			}
		})
	}
	wg.Wait()
}
