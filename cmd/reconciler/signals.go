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
// SIGHUP stays ignored where the caller had ignored it, as nohup does.
func untilSignal(stderr io.Writer) (ctx context.Context, stop func()) {
	ctx, cancel := context.WithCancelCause(context.Background())
	c := make(chan os.Signal, 2)
	signal.Notify(c, os.Interrupt, syscall.SIGTERM)
	if !signal.Ignored(syscall.SIGHUP) {
		signal.Notify(c, syscall.SIGHUP)
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
