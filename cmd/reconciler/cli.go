package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
	"strings"
	"sync"

	"github.com/go-logr/logr"

	"reconciler.dev/reconciler/internal/doctor"
	"reconciler.dev/reconciler/internal/layout"
	"reconciler.dev/reconciler/pkg/reconcile"
	"reconciler.dev/reconciler/pkg/remote/targets"
)

// cli is one invocation of the command: its streams, its environment and its global flags.
type cli struct {
	in       io.Reader
	out, err io.Writer
	getenv   func(string) string
	// connect wires up a host that the verbs work on; this machine where at is empty. inv says how others are reached.
	connect func(ctx context.Context, c *cli, inv *inventory, at string, o reconcile.Options) (*session, error)
	// journal opens what this machine remembers.
	journal func(c *cli) (journal, error)
	// ways says how hosts are reached, beside those that are declared.
	ways func(declared []targets.Host) (*targets.Resolver, error)
	// scan asks a host for its key.
	scan scanner
	// person returns who can be asked; nil where there is nobody.
	person func() asker
	// controller has what connections to other hosts share; it is made when the first is.
	controller func() *controller
	// gather looks at the machine for doctor.
	gather func(layout.Dirs) doctor.Facts
	// boot is the machine's boot service.
	boot bootService
	// looks returns what tells a run to look at everything now, until stop is called.
	looks func() (asked <-chan os.Signal, stop func())

	stateDir string
	drivers  string // what auto may choose from, the best first
	verbose  int
	agents   string // the folder with agents for other platforms

	writing sync.Mutex // a line is written for one host at a time
}

// run is the whole command as a function: it runs args and returns the exit code. A cancelled ctx ends it after the step in hand.
func run(ctx context.Context, args []string, stdin io.Reader, stdout, stderr io.Writer, getenv func(string) string) int {
	c := &cli{in: stdin, out: stdout, err: stderr, getenv: getenv, connect: connect, journal: localJournal, ways: targets.Here, scan: scan, person: atTerminal, gather: doctor.Gather}
	c.controller = sync.OnceValue(c.newController)
	c.boot, c.looks = systemdBoot{c}, lookSignal
	return c.main(ctx, args)
}

func (c *cli) main(ctx context.Context, args []string) int {
	root := c.root()
	root.SetArgs(args)
	err := root.ExecuteContext(ctx)
	if text := message(ctx, err); text != "" {
		fmt.Fprintf(c.err, "error: %s\n", cleanLines(text))
	}
	if err != nil && ctx.Err() != nil {
		return exitInterrupted
	}
	return exitCode(err)
}

// message is what a person is told of err; "" where the output said it all.
func message(ctx context.Context, err error) string {
	var e *exit
	switch {
	case err == nil, errors.As(err, &e) && e.err == nil:
		return ""
	case ctx.Err() != nil:
		return err.Error() + " (" + context.Cause(ctx).Error() + ")"
	}
	return err.Error()
}

// note tells a person something on stderr that is neither a result nor an error.
func (c *cli) note(format string, a ...any) {
	c.writing.Lock()
	defer c.writing.Unlock()
	fmt.Fprintln(c.err, cleanLines(fmt.Sprintf(format, a...)))
}

// say prints a line of results.
func (c *cli) say(format string, a ...any) {
	c.writing.Lock()
	defer c.writing.Unlock()
	fmt.Fprintf(c.out, format+"\n", a...)
}

// logger is what -v turns up: V(0) for changes, V(1) for looks.
func (c *cli) logger() logr.Logger {
	if c.verbose == 0 {
		return logr.Discard()
	}
	level := slog.Level(1 - c.verbose)
	return logr.FromSlogHandler(slog.NewTextHandler(c.err, &slog.HandlerOptions{Level: level}))
}

// terminal says whether w is a terminal, so that a person reads it.
func terminal(w any) bool {
	f, ok := w.(*os.File)
	if !ok {
		return false
	}
	fi, err := f.Stat()
	return err == nil && fi.Mode()&os.ModeCharDevice != 0
}

// colour says whether out may carry colours: on a terminal, unless NO_COLOR is set (https://no-color.org) or the terminal is dumb.
func (c *cli) colour() bool {
	return terminal(c.out) && c.getenv("NO_COLOR") == "" && c.getenv("TERM") != "dumb"
}

// daemonNames takes daemons as people write them: NAME or daemon/NAME.
func daemonNames(args []string) []string {
	names := make([]string, 0, len(args))
	seen := map[string]bool{}
	for _, a := range args {
		if a = strings.TrimPrefix(a, "daemon/"); !seen[a] {
			seen[a] = true
			names = append(names, a)
		}
	}
	return names
}
