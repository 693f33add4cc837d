package page

import (
	"strconv"
	"strings"
	"time"

	"reconciler.dev/reconciler/internal/plaintext"
	"reconciler.dev/reconciler/pkg/spec"
)

// What stands in the place of a figure that nobody knows, and of one that there can't be because nothing runs.
const (
	unknown = "?"
	nothing = "–"
)

// Longer texts are cut: a name, a sentence in a row, and a message on a daemon's own page.
const (
	nameRunes    = 100
	noteRunes    = 160
	messageRunes = 600
)

func name(s string) string    { return plaintext.Line(s, nameRunes) }
func message(s string) string { return plaintext.Line(s, messageRunes) }

// percent is a share of one core in percent.
func percent(share float64) string {
	if p := share * 100; p < 99.95 {
		return strconv.FormatFloat(p, 'f', 1, 64)
	}
	return strconv.FormatFloat(share*100, 'f', 0, 64)
}

// amount is a number of bytes in four characters at most and a unit, as powers of 1024.
func amount(n int64) string {
	const units = "BKMGTPE"
	v, i := float64(n), 0
	for v >= 1000 && i < len(units)-1 {
		v /= 1024
		i++
	}
	if i == 0 || v >= 99.95 {
		return strconv.FormatFloat(v, 'f', 0, 64) + units[i:i+1]
	}
	return strconv.FormatFloat(v, 'f', 1, 64) + units[i:i+1]
}

func bytesPerSecond(v float64) string { return amount(int64(v)) + "/s" }

func integer(n int64) string { return strconv.FormatInt(n, 10) }

func plural(n int, one string) string {
	if n == 1 {
		return "1 " + one
	}
	return strconv.Itoa(n) + " " + one + "s"
}

// known writes a figure, or that nobody knows it.
func known[T any](v *T, write func(T) string) string {
	if v == nil {
		return unknown
	}
	return write(*v)
}

// notKnown is a time that there is, and nobody knows; 0 is one that there isn't.
const notKnown = -1

// age is how long ago at was, in one unit; the script of the page does the same.
func age(at int64, now time.Time) string {
	switch at {
	case 0:
		return nothing
	case notKnown:
		return unknown
	}
	s := max(now.Unix()-at, 0)
	switch {
	case s < 120:
		return integer(s) + "s"
	case s < 120*60:
		return integer(s/60) + "m"
	case s < 48*3600:
		return integer(s/3600) + "h"
	}
	return integer(s/86400) + "d"
}

// seconds is a time as the page's script has it, 0 for none.
func seconds(t time.Time) int64 {
	if t.IsZero() {
		return 0
	}
	return t.Unix()
}

// ending says how a process ended.
func ending(e spec.Exit) string {
	switch {
	case e.OOMKilled:
		return "killed by the kernel for its memory limit"
	case !e.Known:
		return "ended, and nobody knows how"
	case e.Asked:
		return "stopped"
	case e.Signal != "":
		return "killed by " + e.Signal
	}
	return "exit status " + strconv.Itoa(e.Code)
}

// driverNames are drivers in one line.
func driverNames(all []spec.DriverKind) string {
	var b strings.Builder
	for i, d := range all[:min(len(all), 8)] {
		if i > 0 {
			b.WriteString(", ")
		}
		b.WriteString(string(d))
	}
	return name(b.String())
}
