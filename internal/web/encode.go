package web

import (
	"io"
	"math"
	"strconv"
	"strings"
	"time"
)

// kind is what a family of metrics is.
type kind int

const (
	gauge kind = iota
	// counter: samples are called NAME_total.
	counter
	// info: samples are called NAME_info, and have the value 1.
	info
	histogram
)

func (k kind) String() string { return [...]string{"gauge", "counter", "info", "histogram"}[k] }

// encoder writes metrics as text: OpenMetrics 1.0, or what Prometheus had before that, its text format 0.0.4. It keeps no more than a chunk in memory, and does nothing after the
// first error of its writer.
type encoder struct {
	w    io.Writer
	open bool // OpenMetrics
	buf  []byte
	err  error
	// sample is how the lines of the family begin.
	sample string
	// of is the time that samples bear, none where it is zero: they are of now then.
	of time.Time
}

// chunk is how much is written at once.
const chunk = 64 << 10

func newEncoder(w io.Writer, open bool) *encoder {
	return &encoder{w: w, open: open, buf: make([]byte, 0, chunk+4096)}
}

// family begins a family. Its name has no suffix of its kind, and ends with its unit where it has one.
func (e *encoder) family(name string, k kind, unit, help string) {
	e.sample = name
	switch k {
	case counter:
		e.sample += "_total"
	case info:
		e.sample += "_info"
	}
	head, word := name, k.String()
	if !e.open {
		if head = e.sample; k == info {
			word = gauge.String()
		}
	}
	e.buf = append(append(append(append(append(e.buf, "# HELP "...), head...), ' '), help...), '\n')
	e.buf = append(append(append(append(append(e.buf, "# TYPE "...), head...), ' '), word...), '\n')
	if e.open && unit != "" {
		e.buf = append(append(append(append(append(e.buf, "# UNIT "...), head...), ' '), unit...), '\n')
	}
}

// labels are pairs as they stand between the braces, escaped.
type labels string

// label makes one pair. A value may be anything.
func label(name, value string) labels {
	value = strings.ToValidUTF8(value, "\uFFFD")
	if strings.ContainsAny(value, "\\\"\n") {
		value = strings.NewReplacer(`\`, `\\`, `"`, `\"`, "\n", `\n`).Replace(value)
	}
	return labels(name + `="` + value + `"`)
}

func (l labels) and(more labels) labels {
	if l == "" || more == "" {
		return l + more
	}
	return l + "," + more
}

// line begins a sample of the family with the labels of both; whoever calls writes the value and ends it.
func (e *encoder) line(suffix string, l, more labels) {
	e.buf = append(append(e.buf, e.sample...), suffix...)
	if l != "" || more != "" {
		e.buf = append(append(e.buf, '{'), l...)
		if l != "" && more != "" {
			e.buf = append(e.buf, ',')
		}
		e.buf = append(append(e.buf, more...), '}')
	}
	e.buf = append(e.buf, ' ')
}

func (e *encoder) end() {
	if !e.of.IsZero() {
		e.buf = append(e.buf, ' ')
		if ms := e.of.UnixMilli(); e.open {
			e.buf = appendSeconds(e.buf, time.Duration(ms)*time.Millisecond)
		} else {
			e.buf = strconv.AppendInt(e.buf, ms, 10)
		}
	}
	e.buf = append(e.buf, '\n')
	if len(e.buf) >= chunk {
		e.flush()
	}
}

func (e *encoder) int(l, more labels, v int64) { e.count("", l, more, v) }

func (e *encoder) count(suffix string, l, more labels, v int64) {
	e.line(suffix, l, more)
	e.buf = strconv.AppendInt(e.buf, v, 10)
	e.end()
}

func (e *encoder) float(l, more labels, v float64) {
	e.line("", l, more)
	e.buf = appendFloat(e.buf, v)
	e.end()
}

func (e *encoder) seconds(l, more labels, d time.Duration) {
	e.line("", l, more)
	e.buf = appendSeconds(e.buf, d)
	e.end()
}

// appendFloat writes a number as both formats have it.
func appendFloat(b []byte, v float64) []byte {
	switch {
	case math.IsInf(v, 1):
		return append(b, "+Inf"...)
	case math.IsInf(v, -1):
		return append(b, "-Inf"...)
	case math.IsNaN(v):
		return append(b, "NaN"...)
	}
	return strconv.AppendFloat(b, v, 'g', -1, 64)
}

// appendSeconds writes a length of time, to the nanosecond, which a float loses after four months.
func appendSeconds(b []byte, d time.Duration) []byte {
	n := uint64(d)
	if d < 0 {
		b, n = append(b, '-'), -n
	}
	b = strconv.AppendUint(b, n/uint64(time.Second), 10)
	rest := n % uint64(time.Second)
	if rest == 0 {
		return b
	}
	b = append(b, '.')
	for digit := uint64(time.Second) / 10; rest > 0; digit /= 10 {
		b = append(b, byte('0'+rest/digit))
		rest %= digit
	}
	return b
}

func (e *encoder) flush() {
	if e.err == nil && len(e.buf) > 0 {
		_, e.err = e.w.Write(e.buf)
	}
	e.buf = e.buf[:0]
}

// close ends the text.
func (e *encoder) close() error {
	if e.open {
		e.buf = append(e.buf, "# EOF\n"...)
	}
	e.flush()
	return e.err
}
