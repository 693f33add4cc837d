package main

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"
	"unicode/utf8"

	"github.com/google/go-cmp/cmp"

	"reconciler.dev/reconciler/pkg/spec"
)

// using is a daemon that has used some things, after that many seconds.
func using(name string, seconds int, cores float64, memory int64) measured {
	s := spec.Sample{Name: name, State: spec.Running, Instance: name, At: time.Unix(int64(seconds), 0), Clock: time.Duration(seconds) * time.Second}
	cpu := time.Duration(float64(seconds) * cores * float64(time.Second))
	limit, tasks := spec.Bound(2000), int64(3)
	s.CPU.Usage, s.CPU.Limit, s.Memory.Current, s.Tasks = &cpu, &limit, &memory, &tasks
	rates := spec.Rate{Over: time.Second, CPU: &cores}
	return measured{Host: "localhost", Sample: s, Rates: &rates}
}

// at is m on another host.
func (m measured) at(host string) measured {
	m.Host = host
	return m
}

func viewOf(hosts ...string) *topView {
	sites := make([]*site, len(hosts))
	for i, h := range hosts {
		sites[i] = &site{at: h}
	}
	return newTopView(sites, "cpu")
}

func screenOf(v *topView, width, height int) string {
	return strings.Join(v.draw(width, height, false), "\n") + "\n"
}

// TestTopScreens are whole screens, as a terminal without colours shows them.
func TestTopScreens(t *testing.T) {
	t.Setenv("TZ", "UTC")
	v := viewOf("", "gpu-1", "db-2")
	var text strings.Builder
	show := func(what string, width, height int) {
		fmt.Fprintf(&text, "--- %s\n%s", what, screenOf(v, width, height))
	}
	show("nothing is known yet", 100, 5)
	for second := 1; second <= 3; second++ {
		unsure := using("worker\x1b[2J", second, 0.5, 300<<20).at("gpu-1")
		unsure.Memory.Current, unsure.Rates.ReadBytes = nil, new(float64)
		unsure.GPUs = []spec.GPUUse{{UUID: "GPU-1", Memory: new(int64(20 << 30)), Utilisation: new(97.0)}}
		unsure.Pressure.CPU = &spec.Stalls{Some: &spec.Stall{Avg10: 12.4}}
		v.update("localhost", []measured{using("web", second, 1.5, 64<<20), {Host: "localhost", Sample: spec.Sample{Name: "job", State: spec.Exited}}}, nil)
		v.update("gpu-1", []measured{unsure, {Host: "gpu-1", Sample: spec.Sample{Name: "lost", State: spec.Unknown}}}, nil)
	}
	v.now = time.Time{}
	v.update("db-2", nil, errors.New("host db-2: no sign of life for 15s"))
	show("wide", 170, 9)
	show("of 80 columns", 80, 9)
	show("narrow", 40, 9)
	v.press("H")
	show("hosts", 100, 8)
	v.press("H")
	for _, key := range []string{"\\", "w", "e", "b"} {
		v.press(key)
	}
	show("a filter", 80, 6)
	v.press("enter")
	v.press("f1")
	show("help", 170, 9)
	show("help, of 80 columns", 80, 12)
	checkGolden(t, ".", "top-screens", text.String())
}

// TestTopFitsEveryScreen with hostile names: no line is longer than the screen is wide, nor are there more than it has, nor does a byte of them reach the terminal raw.
func TestTopFitsEveryScreen(t *testing.T) {
	v := viewOf("a\x1b]0;title\x07", "b")
	for i := range 300 {
		name := fmt.Sprintf("%s\x1b[31m-%d", strings.Repeat("ä\u202e", i%50), i)
		v.of[v.hosts[i%2]].found = append(v.of[v.hosts[i%2]].found, using(name, i, float64(i), int64(i)<<i%50).at(v.hosts[i%2]))
	}
	v.of["b"].err = errors.New("a\x1b[2Jb\nc")
	for width := 1; width < 200; width += 7 {
		for height := 1; height < 60; height += 5 {
			lines := v.draw(width, max(height, 4), false)
			if len(lines) > max(height, 4) {
				t.Fatalf("%d lines on a screen of %d", len(lines), height)
			}
			for _, line := range lines {
				if n := utf8.RuneCountInString(line); n > width {
					t.Fatalf("%d characters on a screen of %d: %q", n, width, line)
				}
				if strings.ContainsAny(line, "\x1b\x07\n\u202e") {
					t.Fatalf("raw on the screen: %q", line)
				}
			}
			v.press("pgdn")
		}
	}
}

func TestTopSorts(t *testing.T) {
	v := viewOf("")
	a, b, c := using("a", 1, 0.5, 300), using("b", 1, 1.5, 100), using("c", 1, 0, 200)
	c.Rates = nil
	v.update("localhost", []measured{a, b, c}, nil)
	order := func() (names []string) {
		for _, r := range v.rows() {
			names = append(names, r.Name)
		}
		return names
	}
	for _, step := range []struct {
		keys string
		want []string
	}{
		{"", []string{"b", "a", "c"}}, // what isn't known comes last
		{"M", []string{"a", "c", "b"}},
		{"I", []string{"b", "c", "a"}},
		{"IT", []string{"b", "a", "c"}},
		{"P<", []string{"a", "b", "c"}}, // the last column there is, by host
		{"><", []string{"a", "b", "c"}},
		{"\\", []string{"a", "b", "c"}},
		{"b", []string{"b"}},
	} {
		for _, key := range keysIn(step.keys) {
			v.press(key)
		}
		if got := order(); !slices.Equal(got, step.want) {
			t.Errorf("after %q, by %s: %v, want %v", step.keys, v.sortBy, got, step.want)
		}
	}
}

func TestTopMovesAndEnds(t *testing.T) {
	v := viewOf("")
	for i := range 50 {
		v.of["localhost"].found = append(v.of["localhost"].found, using(fmt.Sprintf("d%02d", i), 1, float64(50-i), 1))
	}
	v.draw(80, 12, false)
	for _, step := range []struct {
		key   string
		chose int
	}{{"up", 0}, {"down", 1}, {"pgdn", 1 + v.page}, {"end", 49}, {"down", 49}, {"pgup", 49 - v.page}, {"home", 0}} {
		if !v.press(step.key) {
			t.Fatalf("%s ended it", step.key)
		}
		lines := v.draw(80, 12, false)
		if v.selected != step.chose || !slices.ContainsFunc(lines, func(l string) bool { return strings.HasPrefix(l, fmt.Sprintf("d%02d", step.chose)) }) {
			t.Errorf("after %s row %d is chosen, want %d, which must be seen:\n%s", step.key, v.selected, step.chose, strings.Join(lines, "\n"))
		}
	}
	for _, key := range []string{"q", "f10", "ctrl-c"} {
		if viewOf("").press(key) {
			t.Errorf("%s doesn't end it", key)
		}
	}
}

func TestKeysOfTerminals(t *testing.T) {
	got := keysIn("q\x1b[A\x1bOB\x1b[5~\x1b[1;5Cä\x03\x7f\x1bOP\x1b[[A\x1b[21~\r\x1b")
	want := []string{"q", "up", "down", "pgup", "ä", "ctrl-c", "backspace", "f1", "f1", "f10", "enter", "esc"}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Error(diff)
	}
}

func FuzzKeys(f *testing.F) {
	f.Add("\x1b[A")
	f.Add("\x1b[[")
	f.Fuzz(func(t *testing.T, sent string) {
		v := viewOf("")
		for _, key := range keysIn(sent) {
			if key == "" {
				t.Errorf("a key without a name in %q", sent)
			}
			v.press(key)
		}
		for _, line := range v.draw(60, 10, false) {
			if strings.ContainsRune(line, '\x1b') {
				t.Errorf("%q: %q on the screen", sent, line)
			}
		}
	})
}

func TestOnlyLinesThatChangedAreSent(t *testing.T) {
	s := &tty{}
	if got, want := s.update([]string{"a", "b"}, 80, 24), "\x1b[2J\x1b[1;1H\x1b[Ka\x1b[2;1H\x1b[Kb"; got != want {
		t.Errorf("first %q, want %q", got, want)
	}
	if got, want := s.update([]string{"a", "c"}, 80, 24), "\x1b[2;1H\x1b[Kc"; got != want {
		t.Errorf("then %q, want %q", got, want)
	}
	if got, want := s.update([]string{"a"}, 80, 24), "\x1b[2;1H\x1b[K"; got != want {
		t.Errorf("then %q, want %q", got, want)
	}
	if got := s.update([]string{"a"}, 40, 24); !strings.HasPrefix(got, "\x1b[2J") {
		t.Errorf("of another size: %q", got)
	}
}

func TestBars(t *testing.T) {
	for share, want := range map[float64]string{-1: "    ", 0: "    ", 0.5: "██  ", 0.53: "██▏ ", 1: "████", 7: "████"} {
		if got := bar(share, 4); got != want {
			t.Errorf("a bar of %v is %q, want %q", share, got, want)
		}
	}
	if got := history([]*float64{new(9.0), new(0.0), nil, new(0.5), new(1.0)}, 1, 4); got != "▁ ▅█" {
		t.Errorf("history %q", got)
	}
}
