package local

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"math"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"reconciler.dev/reconciler/internal/flock"
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

func TestFollowingEndsWithItsContext(t *testing.T) {
	h := newHost(t)
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if err := h.Events(ctx, time.Time{}, true, func(spec.Event) bool { return true }); !errors.Is(err, context.Canceled) {
		t.Errorf("got %v", err)
	}
}

// TestHalfAnEventIsNone and costs no other one, whatever a power cut or a full disk left.
func TestHalfAnEventIsNone(t *testing.T) {
	h := newHost(t)
	want := []spec.Event{event(0, "web", "Created")}
	h.Record(want[0])
	for i, text := range []string{"{\"half\n", "\x00\x00\x00\n", "{\"at\":7}\n", "null\n", "{\"at\":\"2026-11-23T12:00:00Z\",\"name\":\"cut"} {
		f, err := os.OpenFile(h.events.path, os.O_APPEND|os.O_WRONLY, 0)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := f.WriteString(text); err != nil {
			t.Fatal(err)
		}
		if err := f.Close(); err != nil {
			t.Fatal(err)
		}
		want = append(want, event(i+1, "web", fmt.Sprint("Next", i)))
		h.Record(want[i+1])
	}
	if d := cmp.Diff(want, events(t, h, time.Time{})); d != "" {
		t.Error(d)
	}
}

func TestEventsThatCannotBeWrittenAreLostQuietly(t *testing.T) {
	h := New(layout.Under("/dev/null/x"))
	h.Record(event(0, "web", "Created"))
	full := newHost(t)
	if err := os.MkdirAll(filepath.Dir(full.events.path), 0o700); err != nil {
		t.Fatal(err)
	}
	if err := os.Symlink("/dev/full", full.events.path); err != nil {
		t.Fatal(err)
	}
	full.Record(event(0, "web", "Created"))
	if err := full.Close(); err != nil {
		t.Error(err)
	}
}

// TestALongMessageIsCut at the border of a character.
func TestALongMessageIsCut(t *testing.T) {
	h := newHost(t)
	e := event(0, "web", "Failed")
	e.Message = "x" + strings.Repeat("é", 1<<20)
	h.Record(e)
	if got := events(t, h, time.Time{})[0].Message; len(got) > maxEventText+3 || !strings.HasSuffix(got, "é…") {
		t.Errorf("%d bytes, at the end %q", len(got), got[len(got)-8:])
	}
}

// TestOneNoisyDaemon fails a hundred thousand times as fast as it can: that costs one line for each of its first failures and a line a second from then on, and the others nothing.
func TestOneNoisyDaemon(t *testing.T) {
	h := newHost(t)
	const fails = 100_000
	h.Record(event(0, "quiet", "Created"))
	for i := range fails {
		e := event(0, "noisy", "Exited")
		e.At, e.Message = noon.Add(time.Duration(i)*time.Millisecond), fmt.Sprintf("it exited with status %d", i%256)
		h.Record(e)
	}
	h.Record(event(9, "quiet", "Stopped"))
	if err := h.Close(); err != nil {
		t.Fatal(err)
	}
	if info, err := os.Stat(h.events.path); err != nil || info.Size() > 200*(paceBurst+mostApart+40) {
		t.Errorf("%v: %d bytes", err, info.Size())
	}
	var quiet, noisy int
	for _, e := range events(t, h, time.Time{}) {
		if e.Name == "quiet" {
			quiet++
		} else {
			noisy += max(e.Count, 1)
		}
	}
	if quiet != 2 || noisy != fails {
		t.Errorf("%d of the quiet one's events, want 2; %d of the noisy one's, want %d", quiet, noisy, fails)
	}
}

// setDown writes an event at once, and waits for the compaction that it may bring about.
func setDown(h *Host, e spec.Event) {
	_ = flock.Within(patience, func() error {
		size, err := h.events.write([]spec.Event{e})
		h.events.mu.Lock()
		defer h.events.mu.Unlock()
		h.events.mayCompact(size)
		return err
	})
	h.events.done.Wait()
}

// TestTheFileIsCompacted when it is too long: what is alike becomes one event, and who has the most loses the oldest.
func TestTheFileIsCompacted(t *testing.T) {
	h := newHost(t)
	say := func(name string, n, different int) {
		for i := range n {
			e := event(i, name, "Exited")
			e.Message = fmt.Sprintf("%d %s", i%different, strings.Repeat("x", 900))
			setDown(h, e)
		}
	}
	say("quiet", 3, 3)
	say("same", 900, 1)
	say("loud", 3000, 3000)
	if info, err := os.Stat(h.events.path); err != nil || info.Size() > maxEvents+2000 {
		t.Errorf("%v: %d bytes", err, info.Size())
	}
	found := map[string]int{}
	last := ""
	for _, e := range events(t, h, time.Time{}) {
		found[e.Name]++
		if e.Name == "same" && (e.Count != 900 || !e.First.Equal(noon) || !e.At.Equal(noon.Add(899*time.Minute))) {
			t.Errorf("what was alike is %d from %s to %s", e.Count, e.First, e.At)
		}
		last, _, _ = strings.Cut(e.Message, " ")
	}
	if found["quiet"] != 3 || found["same"] != 1 || found["loud"] < keptEvents/1100 || last != "2999" {
		t.Errorf("kept %v, the last %s", found, last)
	}
}

// TestWhoRecordsWaitsForNobody, not even for one that was stopped while it had the file for itself.
func TestWhoRecordsWaitsForNobody(t *testing.T) {
	h := newHost(t)
	h.Record(event(0, "web", "Created"))
	f, err := os.Open(h.events.path)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	if err := flock.TryOwn(f); err != nil {
		t.Fatal(err)
	}
	h.Record(event(1, "web", "Started"))
	h.Record(event(2, "web", "Ready"))
	if got := events(t, h, time.Time{}); len(got) != 1 {
		t.Errorf("while another one has the file: %v", got)
	}
	flock.Forget(f)
	if err := h.Close(); err != nil {
		t.Fatal(err)
	}
	if got := events(t, h, time.Time{}); len(got) != 3 {
		t.Errorf("then: %v", got)
	}
}

// TestManyProcessesRecordAndOneFollows is about the exchange of files, which must lose no event of a follower and tell none twice.
func TestManyProcessesRecordAndOneFollows(t *testing.T) {
	dirs := layout.Under(t.TempDir())
	const writers, each = 4, 300
	pad := strings.Repeat("x", 1000) // so that the file is compacted once
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
			seen[e.Name+e.Message[len(pad):]]++
			return len(seen) < writers*each
		})
	}()
	<-armed
	var wg sync.WaitGroup
	for w := range writers {
		h := New(dirs)
		wg.Go(func() {
			defer h.Close()
			for i := range each {
				e := event(1, fmt.Sprintf("w%d-%d", w, i%20), "Ready")
				e.Message = pad + fmt.Sprint(" ", i)
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
	if info, err := os.Stat(first.events.path); err != nil || info.Size() > 2*maxEvents {
		t.Errorf("%v: it is to have %d bytes at most", err, 2*maxEvents)
	}
}

// TestAFollowerIsToldHowOften something happened, over a compaction too.
func TestAFollowerIsToldHowOften(t *testing.T) {
	h := newHost(t)
	r := eventReader{path: h.events.path, seen: newTally()}
	defer func() { r.close() }()
	var got []int
	for i := range 6 {
		h.Record(event(i, "web", "Exited"))
		if i == 3 {
			pad := event(i, "other", "Exited")
			pad.Message = strings.Repeat("x", maxEventText)
			for range maxEvents/maxEventText + 1 {
				setDown(h, pad)
			}
		}
		news, err := r.news()
		if err != nil {
			t.Fatal(err)
		}
		for _, e := range news {
			if e.Name == "web" {
				got = append(got, max(e.Count, 1))
			}
		}
	}
	if d := cmp.Diff([]int{1, 2, 3, 4, 5, 6}, got); d != "" {
		t.Error(d)
	}
}

func TestShare(t *testing.T) {
	for _, c := range []struct {
		room, want int
		wants      []int
	}{{100, math.MaxInt, []int{40, 60}}, {100, 50, []int{60, 60}}, {100, 90, []int{10, 500}}, {100, 35, []int{500, 30, 36}}, {0, 0, []int{1}}, {7, math.MaxInt, nil}} {
		if got := share(c.wants, c.room); got != c.want {
			t.Errorf("%d for %v: %d each, want %d", c.room, c.wants, got, c.want)
		}
	}
}

func BenchmarkRecord(b *testing.B) {
	for name, daemons := range map[string]int{"one daemon": 1, "many": 4096} {
		b.Run(name, func(b *testing.B) {
			h := New(layout.Under(b.TempDir()))
			defer h.Close()
			b.ReportAllocs()
			for i := range b.N {
				e := event(0, fmt.Sprint("web-", i%daemons), "Exited")
				e.Message = "it exited with status 1"
				h.Record(e)
			}
		})
	}
}

// TestWhoRecordsBesideAnother doesn't wait, nor write: who writes takes it along.
func TestWhoRecordsBesideAnother(t *testing.T) {
	h := newHost(t)
	l := h.events
	l.mu.Lock()
	l.writing = true
	l.mu.Unlock()
	h.Record(event(1, "web", "Started"))
	if _, err := os.Stat(l.path); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("it was written beside who writes: %v", err)
	}
	l.mu.Lock()
	l.writing = false
	l.drain()
	l.mu.Unlock()
	if got := events(t, h, time.Time{}); len(got) != 1 {
		t.Errorf("there are %v", got)
	}
}
