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
		third := a.begin() // who takes too long isn't waited for
		took(50*time.Millisecond + givingWay)
		third()
		if a.under != 0 {
			t.Errorf("%d are under way", a.under)
		}
	})
}
