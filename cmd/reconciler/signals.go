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

// untilSignal returns a context that ends at the first ^C, SIGTERM or SIGHUP, so that the step in hand is finished. The second ^C or SIGTERM ends the process at once. SIGHUP
// counts as no second, and none after it does for that: systemd ends a session with SIGTERM and SIGHUP, in any order (SendSIGHUP= in systemd.kill(5)). It stays ignored where the
// caller had ignored it, as nohup does.
func untilSignal() (ctx context.Context, stop func()) {
	ctx, cancel := context.WithCancelCause(context.Background())
	c := make(chan os.Signal, 2)
	signal.Notify(c, os.Interrupt, syscall.SIGTERM)
	if !signal.Ignored(syscall.SIGHUP) {
		signal.Notify(c, syscall.SIGHUP)
	}
	go func() {
		asked := 0
		for s := range c {
			cancel(interrupted{s})
			if s != syscall.SIGHUP {
				asked++
			}
			if asked > 1 {
				os.Exit(exitError)
			}
		}
	}()
	return ctx, func() {
		signal.Stop(c)
		close(c)
		cancel(nil)
	}
}
