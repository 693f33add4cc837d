package logfile

import (
	"bytes"
	"fmt"
	"io"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"
)

// hasRead is how many bytes this process has read so far: proc_pid_io(5).
func hasRead(t *testing.T) int64 {
	t.Helper()
	text, err := os.ReadFile("/proc/self/io")
	if err != nil {
		t.Fatal(err)
	}
	first, _, _ := strings.Cut(string(text), "\n")
	n, err := strconv.ParseInt(strings.TrimPrefix(first, "rchar: "), 10, 64)
	if err != nil {
		t.Fatal(err)
	}
	return n
}

// gigabyte is a log of a gigabyte of which nothing but both ends was ever written.
func gigabyte(t *testing.T, head, tail string) *Reader {
	t.Helper()
	path := filepath.Join(t.TempDir(), "web.log")
	f, err := os.Create(path)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	if _, err := f.WriteString(head); err != nil {
		t.Fatal(err)
	}
	if _, err := f.WriteAt([]byte("\n"+tail), 1<<30); err != nil {
		t.Fatal(err)
	}
	r, err := Open(path)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { r.Close() })
	return r
}

// TestOfALongLogOnlyAPartIsRead, wherever what is wanted begins.
func TestOfALongLogOnlyAPartIsRead(t *testing.T) {
	noon := time.Date(2026, 11, 23, 12, 0, 0, 0, time.UTC)
	line := func(i int) string { return noon.Add(time.Duration(i)*time.Second).Format(time.RFC3339) + " GET /\n" }
	var tail strings.Builder
	for i := range 100 {
		tail.WriteString(line(60 + i))
	}
	for _, c := range []struct {
		name  string
		since time.Time
		lines int
		want  int
	}{
		{"the last ten lines", time.Time{}, 10, 10},
		{"what is behind a hole", noon.Add(30 * time.Second), -1, 100},
		{"the last half minute", noon.Add(130 * time.Second), -1, 30},
		{"nothing", noon.Add(time.Hour), -1, 0},
	} {
		t.Run(c.name, func(t *testing.T) {
			r := gigabyte(t, line(0)+line(1), tail.String())
			begin, end, err := r.Span()
			if err != nil {
				t.Fatal(err)
			}
			before := hasRead(t)
			if !c.since.IsZero() {
				var timed bool
				if begin, timed, err = r.Since(begin, end, c.since); err != nil || !timed {
					t.Fatal(timed, err)
				}
			}
			if c.lines >= 0 {
				if begin, err = r.Tail(begin, end, c.lines); err != nil {
					t.Fatal(err)
				}
			}
			r.GoTo(begin)
			var got bytes.Buffer
			if _, err := io.Copy(&got, io.LimitReader(r, end-begin)); err != nil {
				t.Fatal(err)
			}
			if n := hasRead(t) - before; n > 16<<20 {
				t.Errorf("%d MB were read", n>>20)
			}
			if n := bytes.Count(got.Bytes(), []byte("\n")); n != c.want {
				t.Errorf("%d lines, want %d: %.80q", n, c.want, got.Bytes())
			}
		})
	}
}

// TestSinceOfALongLog comes to the same as reading it line by line.
func TestSinceOfALongLog(t *testing.T) {
	noon := time.Date(2026, 11, 23, 12, 0, 0, 0, time.UTC)
	for seed := range uint64(6) {
		random := rand.New(rand.NewPCG(1, seed))
		var text strings.Builder
		at := noon
		for text.Len() < 5*readThrough {
			if random.IntN(3) == 0 {
				text.WriteString(strings.Repeat("x", random.IntN(3000)) + "\n")
				continue
			}
			at = at.Add(time.Duration(random.IntN(2000)) * time.Millisecond)
			fmt.Fprintf(&text, "%s %s\n", at.Format(time.RFC3339Nano), strings.Repeat("y", random.IntN(300)))
		}
		r, begin, end := openWith(t, text.String())
		for range 20 {
			since := noon.Add(time.Duration(random.Int64N(int64(at.Sub(noon)) * 11 / 10)))
			want, _, err := r.firstSince(begin, end, end, since, time.Now())
			if err != nil {
				t.Fatal(err)
			}
			got, timed, err := r.Since(begin, end, since)
			if err != nil || !timed || got != want {
				t.Errorf("seed %d, since %s: %d, want %d of %d; %v, %v", seed, since, got, want, end, timed, err)
			}
		}
	}
}

// TestALongLogWithoutTimes has none.
func TestALongLogWithoutTimes(t *testing.T) {
	r, begin, end := openWith(t, strings.Repeat("no time is told\n", readThrough/4))
	before := hasRead(t)
	if _, timed, err := r.Since(begin, end, time.Now()); timed || err != nil {
		t.Error(timed, err)
	}
	if n := hasRead(t) - before; n > 4*readThrough {
		t.Errorf("%d MB were read", n>>20)
	}
}
