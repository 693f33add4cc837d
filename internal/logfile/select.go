package logfile

import (
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"io"
	"regexp"
	"strconv"
	"time"
)

// longestLine bounds what is held in memory of one line.
const longestLine = 64 << 10

// Tail returns the position where the last n lines of the stream between begin and end start. A last line without an end counts.
func (r *Reader) Tail(begin, end int64, n int) (int64, error) {
	if n <= 0 {
		return end, nil
	}
	for window := int64(longestLine); ; window *= 8 {
		from := max(begin, end-window)
		position, enough, err := r.tailOf(from, end, n, from == begin)
		if err != nil || enough {
			return position, err
		}
	}
}

// tailOf is Tail where the window begins with a whole line, and else of what is behind the first line of it, which may be too little.
func (r *Reader) tailOf(from, end int64, n int, whole bool) (position int64, enough bool, err error) {
	ring, at := make([]int64, 0, min(n, 1<<12)), 0
	skip := !whole
	err = r.lines(from, end, func(position int64, _ []byte) bool {
		switch {
		case skip:
			skip = false
		case len(ring) < n:
			ring = append(ring, position)
		default:
			ring[at] = position
			at = (at + 1) % n
		}
		return true
	})
	if len(ring) == 0 {
		return end, whole, err
	}
	return ring[at], whole || len(ring) == n, err
}

// readThrough is how much of a log is read line by line in search of a time.
const readThrough = 1 << 20

// Since returns the position of the first line between begin and end that tells a time of since or later. timed says whether any line tells a time; where none
// does the position means nothing. Of a long log only parts are read: the place is found as in a sorted list, for logs are in the order of their times, but for a little.
func (r *Reader) Since(begin, end int64, since time.Time) (position int64, timed bool, err error) {
	now, low, high := time.Now(), begin, end
	for high-low > readThrough {
		middle := low + (high-low)/2
		at, t, ok, err := r.timeAfter(middle, high, now)
		switch {
		case err != nil:
			return 0, false, err
		case !ok:
			high = middle
			continue // nothing is told there
		case t.Before(since):
			low = max(at, middle)
		default:
			end, high = at, min(at, middle)
		}
		timed = true
	}
	position, found, err := r.firstSince(low, min(low+2*readThrough, end), end, since, now)
	return position, timed || found, err
}

// timeAfter returns the first time that a line tells which begins between from and end, and where that line begins. Where there is none for long it looks ever further on.
func (r *Reader) timeAfter(from, end int64, now time.Time) (at int64, t time.Time, ok bool, err error) {
	for step := int64(longestLine); from < end; step *= 2 {
		whole := false
		err = r.lines(from, min(from+longestLine, end), func(position int64, line []byte) bool {
			if whole { // the first one is the rest of a line
				t, ok = lineTime(line, now)
			}
			at, whole = position, true
			return !ok
		})
		if ok || err != nil {
			return at, t, ok, err
		}
		from += step
	}
	return 0, t, false, nil
}

// firstSince reads line by line between begin and end. Where no line there tells a time of since or later the position is beyond.
func (r *Reader) firstSince(begin, end, beyond int64, since, now time.Time) (position int64, timed bool, err error) {
	position = beyond
	err = r.lines(begin, end, func(at int64, line []byte) bool {
		t, ok := lineTime(line, now)
		timed = timed || ok
		if ok && !t.Before(since) {
			position = at
			return false
		}
		return true
	})
	return position, timed, err
}

// lines calls yield with the beginning of each line and where it starts, until yield has enough.
func (r *Reader) lines(begin, end int64, yield func(position int64, head []byte) bool) error {
	r.GoTo(begin)
	b := bufio.NewReaderSize(io.LimitReader(r, end-begin), longestLine)
	for at, fresh := begin, true; ; {
		line, err := b.ReadSlice('\n')
		if fresh && len(line) > 0 && !yield(at, bytes.TrimSuffix(line, []byte("\n"))) {
			return nil
		}
		at += int64(len(line))
		switch {
		case err == nil:
			fresh = true
		case errors.Is(err, bufio.ErrBufferFull):
			fresh = false
		case errors.Is(err, io.EOF):
			return nil
		default:
			return fmt.Errorf("read log %s: %w", r.path, err)
		}
	}
}

// stamp is a time at the head of a line, as RFC 3339, ISO 8601 with a blank, Go's log package, nginx and syslog write it.
var stamp = regexp.MustCompile(`^\[?(?:(\d{4})[-/](\d\d)[-/](\d\d)[T ](\d\d:\d\d:\d\d(?:[.,]\d{1,9})?) ?(Z|[+-]\d\d:?\d\d)?|([A-Z][a-z]{2} [ \d]\d \d\d:\d\d:\d\d))(?:\D|$)`)

// lineTime reads the time at the head of a line. Times without a zone are local ones; those without a year, as syslog's, are of the last twelve months.
func lineTime(line []byte, now time.Time) (time.Time, bool) {
	m := stamp.FindSubmatch(line[:min(len(line), 64)])
	if m == nil {
		return time.Time{}, false
	}
	if len(m[6]) > 0 {
		t, err := time.ParseInLocation("2006 "+time.Stamp, strconv.Itoa(now.Year())+" "+string(m[6]), time.Local)
		if t.After(now.AddDate(0, 0, 1)) {
			t = t.AddDate(-1, 0, 0)
		}
		return t, err == nil
	}
	text := fmt.Sprintf("%s-%s-%s %s", m[1], m[2], m[3], bytes.ReplaceAll(m[4], []byte(","), []byte(".")))
	if zone := bytes.ReplaceAll(m[5], []byte(":"), nil); len(zone) > 0 {
		t, err := time.Parse("2006-01-02 15:04:05Z0700", text+string(zone))
		return t, err == nil
	}
	t, err := time.ParseInLocation("2006-01-02 15:04:05", text, time.Local)
	return t, err == nil
}
