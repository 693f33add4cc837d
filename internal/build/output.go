package build

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"os"
	"strings"
	"time"

	"reconciler.dev/reconciler/internal/plaintext"
)

// Failure is a command that failed, took too long, or was given up.
type Failure struct {
	Name, Dir, Command string
	Took               time.Duration
	// Said are the last lines that it printed, safe for a terminal.
	Said []string
	// Log is where all that it printed is kept; empty where it couldn't be.
	Log string
	Err error
}

// Error is short enough for one screen.
func (f *Failure) Error() string {
	var b strings.Builder
	fmt.Fprintf(&b, "build %s in %s (%s): %v, after %s", f.Name, f.Dir, f.Command, f.Err, f.Took.Round(time.Millisecond))
	if len(f.Said) == 0 {
		b.WriteString("; it printed nothing")
		return b.String()
	}
	b.WriteString("; the last that it printed:")
	for _, line := range f.Said {
		b.WriteString("\n  | " + line)
	}
	if f.Log != "" {
		b.WriteString("\nall of it is in " + f.Log)
	}
	return b.String()
}

// Unwrap returns what happened to the command.
func (f *Failure) Unwrap() error { return f.Err }

// What is shown of a command's output in an error.
const (
	lastLines   = 15
	longestLine = 200
)

// tail keeps the last lines that are written to it.
type tail struct {
	kept []string
	rest []byte
}

// Write never fails.
func (t *tail) Write(p []byte) (int, error) {
	t.rest = append(t.rest, p...)
	for {
		line, rest, ok := bytes.Cut(t.rest, []byte("\n"))
		if !ok {
			break
		}
		t.add(line)
		t.rest = rest
	}
	if len(t.rest) > 4*longestLine {
		t.rest = append([]byte(nil), t.rest[:4*longestLine]...) // more of a line is never shown
	}
	return len(p), nil
}

func (t *tail) add(line []byte) {
	if len(t.kept) == lastLines {
		t.kept = append(t.kept[:0], t.kept[1:]...)
	}
	t.kept = append(t.kept, string(line[:min(len(line), 4*longestLine)]))
}

// lines are the last lines, safe for a terminal. Colours go, as other escape sequences do.
func (t *tail) lines() []string {
	if len(t.rest) > 0 {
		t.add(t.rest)
		t.rest = nil
	}
	var out []string
	for _, line := range t.kept {
		if text := plaintext.Line(uncoloured(line), longestLine); text != "" {
			out = append(out, text)
		}
	}
	return out
}

// uncoloured takes away the escape sequences that set colours (ECMA-48, 8.3.117), which compilers like to print.
func uncoloured(s string) string {
	var b strings.Builder
	for {
		before, after, ok := strings.Cut(s, "\x1b[")
		b.WriteString(before)
		if !ok {
			return b.String()
		}
		rest := strings.TrimLeft(after, "0123456789;:")
		if !strings.HasPrefix(rest, "m") && !strings.HasPrefix(rest, "K") {
			b.WriteString("\x1b[")
			s = after
			continue
		}
		s = rest[1:]
	}
}

// maxKept is how much of a command's output is kept.
const maxKept = 16 << 20

// kept is the file that a command's output is kept in. That it can't be is no reason to fail a build.
type kept struct {
	path string
	f    *os.File
	left int
}

func keep(path string) *kept {
	f, err := os.OpenFile(path, os.O_WRONLY|os.O_CREATE|os.O_TRUNC, 0o600)
	if err != nil {
		return &kept{}
	}
	return &kept{path: path, f: f, left: maxKept}
}

// Write never fails.
func (k *kept) Write(p []byte) (int, error) {
	if k.f != nil && k.left > 0 {
		n, err := k.f.Write(p[:min(len(p), k.left)])
		if k.left -= n; err != nil {
			k.left = 0
		}
	}
	return len(p), nil
}

func (k *kept) close() {
	if k.f != nil {
		_ = k.f.Close() // it is an aid to people
	}
}

func digestOf(s string) string {
	sum := sha256.Sum256([]byte(s))
	return hex.EncodeToString(sum[:])
}
