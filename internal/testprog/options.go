// Package testprog is the language of the test program that stands in for a daemon: its options, and the lines in which it reports what became of it. The
// program itself is in testdata, so that it is in no build but the tests'; simulated machines understand the same options.
//
// It must stay free of anything that a test would have to trust: no driver, no spec.
package testprog

import (
	"encoding/json"
	"flag"
	"fmt"
	"io"
	"strings"
	"time"
)

// Package is what to build for the program.
const Package = "reconciler.dev/reconciler/internal/testprog/testdata/prog"

// Options are what the program does, in this order: it starts its children, speaks, reports, and waits to be ended.
type Options struct {
	// Report is the file that gets a Line for every process and every event.
	Report string
	// Role is the name of this process in its lines.
	Role string
	// Child starts another process of the same tree: see the Child constants.
	Child string
	// Background starts a copy that goes on in a session of its own, and exits with status 0 once that one has reported.
	Background bool
	// Say and Complain go to stdout and stderr, with a newline.
	Say, Complain string
	// Ignore and Note are signals, separated by commas: the first have no effect, the second become an event.
	Ignore, Note string
	// Linger is the time between SIGTERM and an exit with status 0.
	Linger time.Duration
	// After is the time until Exit or Die.
	After time.Duration
	// Exit is the status to exit with; negative: stay.
	Exit int
	// Die is the signal that the process sends itself.
	Die string
	// HTTP is an address to serve: POST /stop exits with status 0, POST /reload is an event, /status/N answers N.
	HTTP string
	// Accept has it accept connections on the sockets that it was given as in sd_listen_fds(3): each gets a line with the number of the descriptor and that of the process.
	Accept bool
	// Rest are the arguments after the options.
	Rest []string
}

// The children that a process may have.
const (
	Plain    = "plain"    // as the parent
	Stubborn = "stubborn" // ignores SIGTERM
	Session  = "session"  // ignores SIGTERM, in a session of its own
	Orphan   = "orphan"   // ignores SIGTERM, in a session of its own, its parent gone
)

// set is the flag set that fills in o.
func (o *Options) set() *flag.FlagSet {
	f := flag.NewFlagSet("testprog", flag.ContinueOnError)
	f.SetOutput(io.Discard)
	f.StringVar(&o.Report, "report", "", "")
	f.StringVar(&o.Role, "role", "leader", "")
	f.StringVar(&o.Child, "child", "", "")
	f.BoolVar(&o.Background, "background", false, "")
	f.StringVar(&o.Say, "say", "", "")
	f.StringVar(&o.Complain, "complain", "", "")
	f.StringVar(&o.Ignore, "ignore", "", "")
	f.StringVar(&o.Note, "note", "", "")
	f.DurationVar(&o.Linger, "linger", 0, "")
	f.DurationVar(&o.After, "after", 0, "")
	f.IntVar(&o.Exit, "exit", -1, "")
	f.StringVar(&o.Die, "die", "", "")
	f.StringVar(&o.HTTP, "http", "", "")
	f.BoolVar(&o.Accept, "accept", false, "")
	return f
}

// Parse reads the arguments after the program's name.
func Parse(args []string) (Options, error) {
	var o Options
	f := o.set()
	if err := f.Parse(args); err != nil {
		return o, fmt.Errorf("parse options: %w", err)
	}
	o.Rest = f.Args()
	return o, nil
}

// Args are the arguments from which Parse makes o.
func (o Options) Args() []string {
	var args []string
	for _, x := range []struct{ name, value string }{
		{"report", o.Report}, {"role", o.Role}, {"child", o.Child}, {"say", o.Say}, {"complain", o.Complain},
		{"ignore", o.Ignore}, {"note", o.Note}, {"die", o.Die}, {"http", o.HTTP},
	} {
		if x.value != "" {
			args = append(args, "-"+x.name, x.value)
		}
	}
	args = append(args, "-exit", fmt.Sprint(o.Exit), "-linger", o.Linger.String(), "-after", o.After.String())
	if o.Background {
		args = append(args, "-background")
	}
	if o.Accept {
		args = append(args, "-accept")
	}
	return append(append(args, "--"), o.Rest...)
}

// Stay are the Options of a process that reports and stays.
func Stay(report string) Options { return Options{Report: report, Exit: -1} }

// Signals splits a list of signals.
func Signals(list string) []string {
	if list == "" {
		return nil
	}
	return strings.Split(list, ",")
}

// Line is what one process reports of itself when it begins, or of an event later. Args, Env and Dir are bytes, because nothing says that they are text.
type Line struct {
	Role  string `json:"role"`
	PID   int    `json:"pid"`
	Event string `json:"event,omitempty"` // empty: it has begun

	Session int                  `json:"session,omitempty"`
	Args    [][]byte             `json:"args,omitempty"`
	Env     [][]byte             `json:"env,omitempty"`
	Dir     []byte               `json:"dir,omitempty"`
	Umask   int                  `json:"umask"`
	Nice    int                  `json:"nice"`
	UID     int                  `json:"uid"`
	GID     int                  `json:"gid"`
	Rlimits map[string][2]uint64 `json:"rlimits,omitempty"`
	// Files are the open file descriptors and what they lead to.
	Files map[int]string `json:"files,omitempty"`
}

// ParseReport reads the lines of a report; one that is still being written is left out.
func ParseReport(text []byte) (lines []Line, err error) {
	for _, one := range strings.SplitAfter(string(text), "\n") {
		if !strings.HasSuffix(one, "\n") {
			break
		}
		var l Line
		if err := json.Unmarshal([]byte(one), &l); err != nil {
			return nil, fmt.Errorf("read the test program's report: %w", err)
		}
		lines = append(lines, l)
	}
	return lines, nil
}
