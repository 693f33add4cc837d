package process

import (
	"sync"
	"time"
)

// asking lets stops that have come to cleaning up give way to those that are about to ask a daemon to end, so that many daemons are all asked first: what they do about it goes on
// while the first ones are cleaned up after. The zero asking is ready for use.
type asking struct {
	mu sync.Mutex
	// under is how many are about to ask; none is closed when that has become 0, and is nil while nobody waits for it.
	under int
	none  chan struct{}
}

// givingWay is the longest that cleaning up waits for those who ask: it is a matter of speed only.
const givingWay = 100 * time.Millisecond

// begin is called by who is about to ask; asked, which may be called more than once, when that is done or comes to nothing.
func (a *asking) begin() (asked func()) {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.under++
	return sync.OnceFunc(func() {
		a.mu.Lock()
		defer a.mu.Unlock()
		a.under--
		if a.under == 0 && a.none != nil {
			close(a.none)
			a.none = nil
		}
	})
}

// giveWay returns when nobody is about to ask any more, or after a while.
func (a *asking) giveWay() {
	a.mu.Lock()
	if a.under == 0 {
		a.mu.Unlock()
		return
	}
	if a.none == nil {
		a.none = make(chan struct{})
	}
	none := a.none
	a.mu.Unlock()
	up := time.NewTimer(givingWay)
	defer up.Stop()
	select {
	case <-none:
	case <-up.C:
	}
}
