package main

import "os"

// lookSignal returns what never comes: Windows has no signal for it.
func lookSignal() (asked <-chan os.Signal, stop func()) { return nil, func() {} }
