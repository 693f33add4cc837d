package main

import (
	"context"
	"os"
	"os/signal"
	"syscall"
)

// interrupted is the cause of a context that a signal ended.
type interrupted struct{ os.Signal }

func (i interrupted) Error() string {
	switch i.Signal {
	case os.Interrupt:
		return "interrupted by ^C"
	case syscall.SIGTERM:
		return "interrupted by SIGTERM"
	}
	return "interrupted: " + i.Signal.String()
}

// untilSignal returns a context that ends at the first ^C, SIGTERM or SIGHUP, so that the step in hand is finished. The second one ends the process at once.
// SIGHUP stays ignored where the caller had ignored it, as nohup does.
func untilSignal() (ctx context.Context, stop func()) {
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
