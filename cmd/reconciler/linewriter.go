package main

import (
	"bytes"
	"io"
	"sync"
)

// lineWriter passes on whole lines, each with a prefix, under a lock that several of them share. With tame it makes them safe for a terminal: of escape
// sequences only colours pass, and those only with colour.
type lineWriter struct {
	out          io.Writer
	mu           *sync.Mutex
	prefix       string
	tame, colour bool
	rest         []byte
}

// longestLine is how much of a line is held back until its end comes.
const longestLine = 1 << 20

func (w *lineWriter) Write(p []byte) (int, error) {
	w.rest = append(w.rest, p...)
	end := bytes.LastIndexByte(w.rest, '\n') + 1
	if end == 0 && len(w.rest) < longestLine {
		return len(p), nil
	}
	if end == 0 {
		end = len(w.rest)
	}
	err := w.pass(w.rest[:end])
	w.rest = append(w.rest[:0], w.rest[end:]...)
	return len(p), err
}

// flush passes on a last line that has no end.
func (w *lineWriter) flush() error {
	if len(w.rest) == 0 {
		return nil
	}
	err := w.pass(w.rest)
	w.rest = nil
	return err
}

func (w *lineWriter) pass(text []byte) error {
	var b bytes.Buffer
	for line := range bytes.Lines(text) {
		line = bytes.TrimSuffix(line, []byte("\n"))
		b.WriteString(w.prefix)
		if w.tame {
			line = tame(line, w.colour)
		}
		b.Write(line)
		b.WriteByte('\n')
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	_, err := w.out.Write(b.Bytes())
	return err
}

// tame makes a line of a log safe for a terminal. A line that sets a colour is ended by resetting it.
func tame(line []byte, colour bool) []byte {
	line = bytes.TrimSuffix(line, []byte("\r"))
	var b []byte
	coloured := false
	for {
		at, n := findSGR(line)
		if n == 0 {
			break
		}
		b = appendClean(b, string(line[:at]), "\t")
		if colour {
			b, coloured = append(b, line[at:at+n]...), true
		}
		line = line[at+n:]
	}
	b = appendClean(b, string(line), "\t")
	if coloured {
		b = append(b, "\x1b[m"...)
	}
	return b
}

// findSGR finds the first escape sequence that sets colours (select graphic rendition: ECMA-48, 8.3.117) and its length, 0 for none.
func findSGR(line []byte) (at, n int) {
	for at = 0; ; at++ {
		i := bytes.Index(line[at:], []byte("\x1b["))
		if i < 0 {
			return 0, 0
		}
		at += i
		args := bytes.TrimLeft(line[at+2:], "0123456789;:")
		if len(args) > 0 && args[0] == 'm' {
			return at, len(line) - at - len(args) + 1
		}
	}
}
