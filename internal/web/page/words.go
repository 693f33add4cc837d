package page

import (
	"strconv"
	"strings"
	"time"

	"reconciler.dev/reconciler/internal/figure"
	"reconciler.dev/reconciler/internal/plaintext"
	"reconciler.dev/reconciler/pkg/spec"
)

// What stands in the place of a figure that nobody knows, and of one that there can't be because nothing runs.
const (
	unknown = figure.Unknown
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

func bytesPerSecond(v float64) string { return figure.Amount(int64(v)) + "/s" }

func plural(n int, one string) string {
	if n == 1 {
		return "1 " + one
	}
	return strconv.Itoa(n) + " " + one + "s"
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
		return figure.Integer(s) + "s"
	case s < 120*60:
		return figure.Integer(s/60) + "m"
	case s < 48*3600:
		return figure.Integer(s/3600) + "h"
	}
	return figure.Integer(s/86400) + "d"
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
