package process

import (
	"sync"
	"time"
)

// asking lets stops that have come to cleaning up give way to those that are about to ask a daemon to end, so that many daemons are all asked first: what they do about it goes on
// while the first ones are cleaned up after. The zero asking is ready for use.
type asking struct {
	mu sync.Mutex
	// under is how many are about to ask, last when somebody began, crowd says that it wasn't alone then.
	under int
	last  time.Time
	crowd bool
	// calm is closed when nobody has begun for a lull, and is nil while nobody waits for it.
	calm chan struct{}
}

const (
	// lull is how long nobody begins where no more of a crowd are on their way.
	lull = 2 * time.Millisecond
	// givingWay is the longest that cleaning up waits for those who ask: it is a matter of speed only.
	givingWay = 100 * time.Millisecond
)

// begin is called by who is about to ask; asked, which may be called more than once, when that is done or comes to nothing.
func (a *asking) begin() (asked func()) {
	a.mu.Lock()
	defer a.mu.Unlock()
	now := time.Now()
	a.crowd = a.under > 0 || now.Sub(a.last) < lull
	a.last = now
	a.under++
	return sync.OnceFunc(func() {
		a.mu.Lock()
		defer a.mu.Unlock()
		a.under--
		a.lookLater()
	})
}

// isCalm tells whether nobody is about to ask, and no more are to be expected. The caller holds mu.
func (a *asking) isCalm() bool {
	return a.under == 0 && (!a.crowd || time.Since(a.last) >= lull)
}

// giveWay returns when nobody is about to ask any more, or after a while.
func (a *asking) giveWay() {
	a.mu.Lock()
	if a.isCalm() {
		a.mu.Unlock()
		return
	}
	if a.calm == nil {
		a.calm = make(chan struct{})
		a.lookLater()
	}
	calm := a.calm
	a.mu.Unlock()
	up := time.NewTimer(givingWay)
	defer up.Stop()
	select {
	case <-calm:
	case <-up.C:
	}
}

// lookLater looks whether it is calm when it may be, where anybody waits for that and nobody is about to ask. The caller holds mu.
func (a *asking) lookLater() {
	if a.calm != nil && a.under == 0 {
		time.AfterFunc(max(0, lull-time.Since(a.last)), a.look)
	}
}

// look lets those go on who wait, where it is calm.
func (a *asking) look() {
	a.mu.Lock()
	defer a.mu.Unlock()
	switch {
	case a.calm == nil:
	case a.isCalm():
		close(a.calm)
		a.calm = nil
	default:
		a.lookLater()
	}
}
