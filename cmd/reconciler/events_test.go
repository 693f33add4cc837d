package main

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"reconciler.dev/reconciler/pkg/spec"
)

// TestATimelineGoesOnOverALostLink: what happened on a host meanwhile comes once it is there again, and nothing comes twice.
func TestATimelineGoesOnOverALostLink(t *testing.T) {
	d := newFleetDesk(t)
	d.must(exitOK, "apply", "-f", ".")
	say := func(at string, n int) {
		e := spec.Event{At: time.Now(), Name: "web", Type: "Warning", Reason: "Exited", Message: fmt.Sprintf("round %d", n)}
		if at == "" {
			d.host.Record(e)
		} else {
			d.far[at].Host().Record(e)
		}
	}
	out, errOut, interrupt := d.start("events", "-w", "--host=gpu-1,gpu-2,localhost", "--for=web", "--types=Warning", "-o", "json")
	for round := range 3 {
		say("gpu-1", 10*round)
		out.shows(t, fmt.Sprintf(`"message":"round %d"`, 10*round), 1)
		d.far["gpu-1"].Cut("no route to host")
		errOut.shows(t, "gpu-1: ", 2*round+1)
		say("gpu-1", 10*round+1) // nobody hears of it
		say("gpu-2", 10*round+2)
		say("", 10*round+3)
		out.shows(t, fmt.Sprintf(`"message":"round %d"`, 10*round+2), 1)
		out.shows(t, fmt.Sprintf(`"message":"round %d"`, 10*round+3), 1)
		d.far["gpu-1"].Mend()
		d.far["gpu-1"].Notice()
		out.shows(t, fmt.Sprintf(`"message":"round %d"`, 10*round+1), 1)
		errOut.shows(t, "gpu-1: reachable again", round+1)
	}
	if code := interrupt(); code != exitOK {
		t.Errorf("exit %d", code)
	}
	for round := range 3 {
		for i := range 4 {
			if n := strings.Count(out.String(), fmt.Sprintf(`"message":"round %d"`, 10*round+i)); n != 1 {
				t.Errorf("round %d is shown %d times:\n%s", 10*round+i, n, out)
			}
		}
	}
}

// TestATimelineBeginsInTheOrderOfTheTimes of all hosts, and what was there when it began comes once.
func TestATimelineBeginsInTheOrderOfTheTimes(t *testing.T) {
	d := newFleetDesk(t)
	begin := time.Now().Add(-time.Hour)
	hosts := []string{"gpu-2", "", "gpu-1"}
	say := func(n int) {
		e := spec.Event{At: begin.Add(time.Duration(n) * time.Minute), Name: "web", Type: "Warning", Reason: "Exited", Message: fmt.Sprintf("round %d", n)}
		if at := hosts[n%len(hosts)]; at == "" {
			d.host.Record(e)
		} else {
			d.far[at].Host().Record(e)
		}
	}
	for n := range 9 {
		say(n)
	}
	out, _, interrupt := d.start("events", "-w", "--host=gpu-1,gpu-2,localhost", "--types=Warning", "-o", "json")
	out.shows(t, `"message":"round 8"`, 1)
	for n := range 3 {
		say(9 + n)
		out.shows(t, fmt.Sprintf(`"message":"round %d"`, 9+n), 1)
	}
	if code := interrupt(); code != exitOK {
		t.Errorf("exit %d", code)
	}
	lines := strings.Split(strings.TrimSpace(out.String()), "\n")
	for i, line := range lines {
		if len(lines) != 12 || !strings.Contains(line, fmt.Sprintf(`"message":"round %d"`, i)) {
			t.Fatalf("line %d of %d:\n%s", i, len(lines), out)
		}
	}
}

// TestAHostThatCannotBeReachedIsInTheTimeline of this machine, once for each time that it was lost.
func TestAHostThatCannotBeReachedIsInTheTimeline(t *testing.T) {
	d := newFleetDesk(t)
	out, _, interrupt := d.start("run", "-f", ".")
	out.shows(t, " gpu-1: daemon/web: created", 1)
	d.far["gpu-1"].Cut("no route to host")
	out.shows(t, "gpu-1: unreachable: ", 1)
	d.far["gpu-1"].Mend()
	d.far["gpu-1"].Notice()
	out.shows(t, "gpu-1: reachable again", 1)
	interrupt()
	for _, c := range []struct {
		args []string
		want []string
	}{
		{[]string{"--for=host/gpu-1"}, []string{"Warning HostUnreachable host/gpu-1 ", "Normal HostReachable host/gpu-1 -"}},
		{[]string{"--for=host/gpu-2"}, nil},
		{[]string{"--host=gpu-2", "--types=Warning"}, []string{"gpu-2"}},
		{[]string{"--for=web"}, nil},
		{[]string{"--types=Normal"}, []string{"Normal Started daemon/db ", "Normal HostReachable host/gpu-1 -"}},
		{[]string{"--host=gpu-1", "--types=Warning"}, []string{"Warning HostUnreachable host/gpu-1 "}},
	} {
		_, text, _ := d.run(append([]string{"events", "--no-headers"}, c.args...)...)
		for _, want := range c.want {
			if !strings.Contains(strings.Join(strings.Fields(text), " "), want) {
				t.Errorf("events %s doesn't say %q:\n%s", c.args, want, text)
			}
		}
		if c.want == nil && text != "" {
			t.Errorf("events %s says\n%s", c.args, text)
		}
	}
}

func TestSinceWhen(t *testing.T) {
	noon := time.Date(2026, 11, 23, 12, 0, 0, 0, time.UTC)
	for text, want := range map[string]time.Time{"": {}, "10m": noon.Add(-10 * time.Minute), "0s": noon, "2026-11-22T08:00:00+01:00": noon.Add(-29 * time.Hour)} {
		if got, err := sinceWhen(text, noon); err != nil || !got.Equal(want) {
			t.Errorf("%q is %v, %v; want %v", text, got, err, want)
		}
	}
	for _, text := range []string{"-1m", "yesterday", "10", "2026-11-22"} {
		if got, err := sinceWhen(text, noon); err == nil {
			t.Errorf("%q is %v", text, got)
		}
	}
}

func TestLastSeen(t *testing.T) {
	noon := time.Date(2026, 11, 23, 12, 0, 0, 0, time.UTC)
	e := spec.Event{At: noon.Add(-2 * time.Second)}
	if got := lastSeen(e, noon); got != "2s" {
		t.Errorf("once: %q", got)
	}
	e.Count, e.First = 12, noon.Add(-3*time.Minute)
	if got := lastSeen(e, noon); got != "2s (x12 over 3m)" {
		t.Errorf("often: %q", got)
	}
}

func TestShownOnce(t *testing.T) {
	noon := time.Date(2026, 11, 23, 12, 0, 0, 0, time.UTC)
	at := func(minute, count int, what string) spec.Event {
		return spec.Event{At: noon.Add(time.Duration(minute) * time.Minute), Name: "web", Count: count, Message: what}
	}
	var s shown
	for i, c := range []struct {
		spec.Event
		want bool
	}{
		{at(0, 0, "a"), true}, {at(0, 0, "a"), false}, {at(0, 0, "b"), true}, {at(1, 2, "a"), true}, {at(1, 2, "a"), false}, {at(1, 3, "a"), true}, {at(0, 1, "a"), false},
	} {
		if got := s.news(c.Event); got != c.want {
			t.Errorf("the event at %d is news: %v, want %v", i, got, c.want)
		}
	}
	for i := range mostShown + 10 {
		s.news(at(2, 0, fmt.Sprint("flood ", i)))
	}
	if len(s.of) > mostShown || s.news(at(1, 2, "a")) || !s.news(at(9, 3, "a")) {
		t.Errorf("after a flood it remembers %d, and what is old is news or what is new isn't", len(s.of))
	}
}
