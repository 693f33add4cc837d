package labhost

import (
	"fmt"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"
)

// newRoom is a room of nobody else's.
func newRoom(t *testing.T, slots int) (r room, told chan string) {
	t.Helper()
	told = make(chan string, 100)
	return room{dir: t.TempDir(), slots: slots, patience: time.Minute, tellAfter: time.Minute, tell: func(line string) { told <- line }}, told
}

// Who finds no room for all waits for it, is told who has it, and gets it when that one is done.
func TestRoomIsWaitedFor(t *testing.T) {
	r, told := newRoom(t, 4)
	first, err := r.take(t.Context(), 3)
	if err != nil {
		t.Fatal(err)
	}
	r.tellAfter = time.Millisecond
	second := make(chan error)
	go func() {
		taken, err := r.take(t.Context(), 2)
		if err == nil && len(taken) != 2 {
			err = fmt.Errorf("it got %d slots", len(taken))
		}
		second <- err
	}()
	if line := <-told; !strings.Contains(line, "waits for room for 2 hosts; this machine has room for 4, of which labhost.test, process ") {
		t.Errorf("it says %q", line)
	}
	select {
	case err := <-second:
		t.Fatalf("it didn't wait: %v", err)
	default:
	}
	first[0].Release()
	if err := <-second; err != nil {
		t.Fatal(err)
	}
}

// A wait has an end, keeps nothing then, and says who has the room.
func TestRoomIsNotWaitedForForever(t *testing.T) {
	r, _ := newRoom(t, 3)
	if _, err := r.take(t.Context(), 2); err != nil {
		t.Fatal(err)
	}
	r.patience = 50 * time.Millisecond
	if _, err := r.take(t.Context(), 2); err == nil || !strings.Contains(err.Error(), "has 2") || !strings.Contains(err.Error(), "start all of them at once") {
		t.Errorf("it says %v", err)
	}
	if _, err := r.take(t.Context(), 1); err != nil {
		t.Errorf("the slot that it had collected is held: %v", err)
	}
}

// However many want how much, all get it, never more than there is, and no two wait for each other.
func TestRoomIsNeverOverdrawn(t *testing.T) {
	const slots = 5
	r, _ := newRoom(t, slots)
	var taken atomic.Int64
	var all sync.WaitGroup
	for i := range 20 {
		all.Go(func() {
			mine, err := r.take(t.Context(), 1+i%7) // those who want more than there is get all
			if err != nil {
				t.Error(err)
				return
			}
			if want := min(1+i%7, slots); len(mine) != want {
				t.Errorf("got %d, want %d", len(mine), want)
			}
			if n := taken.Add(int64(len(mine))); n > slots {
				t.Errorf("%d are taken, and there are %d", n, slots)
			}
			taken.Add(-int64(len(mine)))
			for _, slot := range mine {
				slot.Release()
			}
		})
	}
	all.Wait()
}
