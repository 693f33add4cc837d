package process

import (
	"testing"
	"testing/synctest"
	"time"
)

func TestCleaningUpGivesWay(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var a asking
		began := time.Now()
		took := func(want time.Duration) {
			t.Helper()
			a.giveWay()
			if got := time.Since(began); got != want {
				t.Errorf("it waited until %v, want %v", got, want)
			}
		}
		took(0)
		first, second := a.begin(), a.begin()
		time.AfterFunc(20*time.Millisecond, first)
		time.AfterFunc(50*time.Millisecond, func() { second(); first(); second() })
		took(50 * time.Millisecond)
		took(50 * time.Millisecond)
		alone := a.begin()
		alone()
		took(50 * time.Millisecond)
		time.Sleep(lull)
		for range 3 { // a crowd that is on its way: the next one may come a little later
			time.Sleep(lull / 2)
			a.begin()()
		}
		took(50*time.Millisecond + lull + 3*lull/2 + lull)
		time.Sleep(lull)
		began = time.Now()
		third := a.begin() // who takes too long isn't waited for
		took(givingWay)
		third()
		if a.under != 0 {
			t.Errorf("%d are under way", a.under)
		}
	})
}
