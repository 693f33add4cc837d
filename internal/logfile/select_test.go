package logfile

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

func openWith(t *testing.T, text string) (r *Reader, begin, end int64) {
	t.Helper()
	path := filepath.Join(t.TempDir(), "web.log")
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	r, err := Open(path)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { r.Close() })
	if begin, end, err = r.Span(); err != nil {
		t.Fatal(err)
	}
	return r, begin, end
}

func TestTail(t *testing.T) {
	long := strings.Repeat("y", 3*longestLine)
	for _, c := range []struct {
		name, text string
		n          int
		want       string
	}{
		{"the last ones", "a\nb\nc\n", 2, "b\nc\n"},
		{"all where there are fewer", "a\nb\n", 9, "a\nb\n"},
		{"none", "a\nb\n", 0, ""},
		{"of nothing", "", 3, ""},
		{"a last line without an end counts", "a\nb\nc", 2, "b\nc"},
		{"empty lines count", "a\n\n\n", 2, "\n\n"},
		{"many lines before don't matter", strings.Repeat("x\n", longestLine), 3, "x\nx\nx\n"},
		{"more lines than are looked at first", strings.Repeat("x\n", longestLine), longestLine - 1, strings.Repeat("x\n", longestLine-1)},
		{"a long line is one line", "a\n" + long + "\nb\n", 2, long + "\nb\n"},
	} {
		t.Run(c.name, func(t *testing.T) {
			r, begin, end := openWith(t, c.text)
			at, err := r.Tail(begin, end, c.n)
			if err != nil {
				t.Fatal(err)
			}
			if got := c.text[at:]; got != c.want {
				t.Errorf("got %.40q, want %.40q", got, c.want)
			}
		})
	}
}

func TestSince(t *testing.T) {
	at := time.Date(2026, 11, 23, 12, 0, 0, 0, time.UTC)
	for _, c := range []struct {
		name, text, want string
		timed            bool
	}{
		{"from the first that is late enough", "2026-11-23T11:59:59Z a\n2026-11-23T12:00:00Z b\n2026-11-23T11:00:00Z c\n", "2026-11-23T12:00:00Z b\n2026-11-23T11:00:00Z c\n", true},
		{"lines without a time belong to the one before", "2026-11-23T12:00:00Z a\n\tat x\n", "2026-11-23T12:00:00Z a\n\tat x\n", true},
		{"and are left out with it", "2026-11-23T11:00:00Z a\n\tat x\n2026-11-23T13:00:00Z b\n", "2026-11-23T13:00:00Z b\n", true},
		{"none is late enough", "2026-11-23T11:00:00Z a\n", "", true},
		{"none tells a time", "a\nb\n", "", false},
	} {
		t.Run(c.name, func(t *testing.T) {
			r, begin, end := openWith(t, c.text)
			pos, timed, err := r.Since(begin, end, at)
			if err != nil {
				t.Fatal(err)
			}
			if got := c.text[pos:]; got != c.want || timed != c.timed {
				t.Errorf("got %q, timed %v; want %q, %v", got, timed, c.want, c.timed)
			}
		})
	}
}

func TestLineTime(t *testing.T) {
	now := time.Date(2026, 1, 15, 12, 0, 0, 0, time.Local)
	local := func(y, mo, d, h, m, s, ms int) time.Time {
		return time.Date(y, time.Month(mo), d, h, m, s, ms*1e6, time.Local)
	}
	zone := time.FixedZone("", 3600)
	for _, c := range []struct {
		line string
		want time.Time
	}{
		{"2026-01-14T10:11:12Z x", time.Date(2026, 1, 14, 10, 11, 12, 0, time.UTC)},
		{"2026-01-14T10:11:12.345+01:00 x", time.Date(2026, 1, 14, 10, 11, 12, 345e6, zone)},
		{"2026-01-14 10:11:12 +0100 x", time.Date(2026, 1, 14, 10, 11, 12, 0, zone)},
		{"[2026-01-14 10:11:12,345] x", local(2026, 1, 14, 10, 11, 12, 345)},
		{"2026-01-14 10:11:12", local(2026, 1, 14, 10, 11, 12, 0)},
		{"2026/01/14 10:11:12 main.go:1: x", local(2026, 1, 14, 10, 11, 12, 0)},
		{"2026/01/14 10:11:12.345678 x", time.Date(2026, 1, 14, 10, 11, 12, 345678e3, time.Local)},
		{"2026/01/14 10:11:12 [error] 12#12: x", local(2026, 1, 14, 10, 11, 12, 0)},
		{"Jan 14 10:11:12 host web[1]: x", local(2026, 1, 14, 10, 11, 12, 0)},
		{"Dec  4 10:11:12 host web[1]: x", local(2025, 12, 4, 10, 11, 12, 0)},
		{"x 2026-01-14T10:11:12Z", time.Time{}},
		{"2026-13-14 10:11:12 x", time.Time{}},
		{"2026-01-14 10:11:123", time.Time{}},
		{"", time.Time{}},
	} {
		got, ok := lineTime([]byte(c.line), now)
		if ok != !c.want.IsZero() || !got.Equal(c.want) {
			t.Errorf("lineTime(%q) = %s, %v; want %s", c.line, got, ok, c.want)
		}
	}
}
