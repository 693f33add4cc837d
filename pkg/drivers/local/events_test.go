package local

import (
	"context"
	"errors"
	"fmt"
	"os"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"reconciler.dev/reconciler/internal/layout"
	"reconciler.dev/reconciler/pkg/spec"
)

var noon = time.Date(2026, 11, 23, 12, 0, 0, 0, time.UTC)

func event(minutes int, name, reason string) spec.Event {
	return spec.Event{At: noon.Add(time.Duration(minutes) * time.Minute), Name: name, Type: "Normal", Reason: reason}
}

func events(t *testing.T, h *Host, since time.Time) (all []spec.Event) {
	t.Helper()
	err := h.Events(t.Context(), since, false, func(e spec.Event) bool {
		all = append(all, e)
		return true
	})
	if err != nil {
		t.Fatal(err)
	}
	return all
}

func TestEventsComeBackOldestFirst(t *testing.T) {
	h := newHost(t)
	if got := events(t, h, time.Time{}); len(got) != 0 {
		t.Errorf("before any was recorded: %v", got)
	}
	want := []spec.Event{event(0, "web", "Created"), event(1, "api", "Created"), event(2, "web", "Stopped")}
	want[2].Message = "line 1\nline 2 \x1b[31m"
	for _, e := range want {
		h.Record(e)
	}
	if d := cmp.Diff(want, events(t, h, time.Time{})); d != "" {
		t.Error(d)
	}
	if d := cmp.Diff(want[1:], events(t, h, want[1].At)); d != "" {
		t.Errorf("since the second one: %s", d)
	}
}

func TestWhatHappenedAgainIsOneEventWithACount(t *testing.T) {
	h := newHost(t)
	for i, e := range []spec.Event{event(0, "web", "Exited"), event(1, "api", "Exited"), event(2, "web", "Exited"), event(3, "web", "Ready"), event(5, "web", "Exited")} {
		if i == 4 {
			e.Message = ""
		}
		h.Record(e)
	}
	again := event(5, "web", "Exited")
	again.Count, again.First = 3, noon
	want := []spec.Event{event(1, "api", "Exited"), event(3, "web", "Ready"), again}
	if d := cmp.Diff(want, events(t, h, time.Time{})); d != "" {
		t.Error(d)
	}
	again.Count, again.First = 2, noon.Add(2*time.Minute)
	if d := cmp.Diff([]spec.Event{event(3, "web", "Ready"), again}, events(t, h, noon.Add(2*time.Minute))); d != "" {
		t.Errorf("what was before doesn't count: %s", d)
	}
}

func TestEventsStopWhereTheReaderHasEnough(t *testing.T) {
	h := newHost(t)
	for i := range 5 {
		h.Record(event(i, fmt.Sprint("web", i), "Ready"))
	}
	for _, follow := range []bool{false, true} {
		n := 0
		err := h.Events(t.Context(), time.Time{}, follow, func(spec.Event) bool {
			n++
			return n < 2
		})
		if err != nil || n != 2 {
			t.Errorf("follow %v: %d events, %v", follow, n, err)
		}
	}
}

// TestManyProcessesRecordAndOneFollows is about the exchange of files, which must lose no event of a follower.
func TestManyProcessesRecordAndOneFollows(t *testing.T) {
	dirs := layout.Under(t.TempDir())
	const writers, each = 4, 400
	pad := strings.Repeat("x", 1000) // so that the files are exchanged once: a reader may be a file behind, and no more
	ctx, cancel := context.WithTimeout(t.Context(), 30*time.Second)
	defer cancel()
	seen := map[string]int{}
	armed, done := make(chan struct{}), make(chan error, 1)
	first := New(dirs)
	first.Record(event(0, "armed", "Armed"))
	go func() {
		done <- first.Events(ctx, time.Time{}, true, func(e spec.Event) bool {
			if e.Name == "armed" {
				close(armed)
				return true
			}
			seen[e.Name]++
			return len(seen) < writers*each
		})
	}()
	<-armed
	var wg sync.WaitGroup
	for w := range writers {
		h := New(dirs)
		wg.Go(func() {
			for i := range each {
				e := event(1, fmt.Sprintf("w%d-%d", w, i), "Ready")
				e.Message = pad
				h.Record(e)
			}
		})
	}
	wg.Wait()
	if err := <-done; err != nil {
		t.Fatalf("followed %d events of %d: %v", len(seen), writers*each, err)
	}
	for name, n := range seen {
		if n != 1 {
			t.Errorf("%s came %d times", name, n)
		}
	}
	for _, path := range []string{first.events.path(), first.events.old()} {
		if info, err := os.Stat(path); err != nil || info.Size() > maxEvents+20_000 {
			t.Errorf("%s: %v; it is to have %d bytes at most", path, err, maxEvents)
		}
	}
}

func TestFollowingEndsWithItsContext(t *testing.T) {
	h := newHost(t)
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if err := h.Events(ctx, time.Time{}, true, func(spec.Event) bool { return true }); !errors.Is(err, context.Canceled) {
		t.Errorf("got %v", err)
	}
}

func TestHalfAnEventIsNone(t *testing.T) {
	h := newHost(t)
	h.Record(event(0, "web", "Created"))
	for _, text := range []string{"{\"half\n", "\x00\x00\x00\n", "{\"name\":\"cut"} {
		f, err := os.OpenFile(h.events.path(), os.O_APPEND|os.O_WRONLY, 0)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := f.WriteString(text); err != nil {
			t.Fatal(err)
		}
		if err := f.Close(); err != nil {
			t.Fatal(err)
		}
	}
	if got := events(t, h, time.Time{}); len(got) != 1 {
		t.Errorf("got %v", got)
	}
}

func TestEventsThatCannotBeWrittenAreLostQuietly(t *testing.T) {
	h := New(layout.Under("/dev/null/x"))
	h.Record(event(0, "web", "Created"))
}
