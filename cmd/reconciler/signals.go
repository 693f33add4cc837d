package main

import (
	"context"
	"fmt"
	"io"
	"os"
	"os/signal"
	"syscall"
)

// interrupted is the cause of a context that a signal ended.
type interrupted struct{ os.Signal }

func (i interrupted) Error() string { return "interrupted by " + i.Signal.String() }

// untilSignal returns a context that ends at the first ^C, SIGTERM or SIGHUP, so that the step in hand is finished. The second one ends the process at once.
// A signal that the parent had ignored, as nohup does with SIGHUP, stays ignored.
func untilSignal(stderr io.Writer) (ctx context.Context, stop func()) {
	ctx, cancel := context.WithCancelCause(context.Background())
	c := make(chan os.Signal, 2)
	for _, s := range []os.Signal{os.Interrupt, syscall.SIGTERM, syscall.SIGHUP} {
		if !signal.Ignored(s) {
			signal.Notify(c, s)
		}
	}
	go func() {
		s, ok := <-c
		if !ok {
			return
		}
		fmt.Fprintf(stderr, "\n%v: ending after the step in hand; once more ends it now\n", s)
		cancel(interrupted{s})
		if _, ok := <-c; ok {
			os.Exit(exitError)
		}
	}()
	return ctx, func() {
		signal.Stop(c)
		close(c)
		cancel(nil)
	}
}
