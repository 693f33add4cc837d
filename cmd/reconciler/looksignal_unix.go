//go:build unix

package main

import (
	"os"
	"os/signal"
	"syscall"
)

// lookSignal returns SIGUSR1.
func lookSignal() (asked <-chan os.Signal, stop func()) {
	c := make(chan os.Signal, 1)
	signal.Notify(c, syscall.SIGUSR1)
	return c, func() { signal.Stop(c) }
}
