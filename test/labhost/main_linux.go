package labhost

import (
	"fmt"
	"os"

	"golang.org/x/sys/unix"
)

// stageEnv tells a process that runs the test binary that it isn't the test process but a part of the lab.
const stageEnv = "LABHOST_STAGE"

// The parts of the lab.
const (
	stageLab  = "lab"  // holds what the hosts share: process 1 of the lab's PID namespace
	stageBoot = "boot" // boots one host, waits for its end, and tells both
	stageInit = "init" // becomes process 1 of a host
)

// Main runs a package's tests, takes the lab down and exits. It is the last that TestMain does. m is a *testing.M, or what runs one.
func Main(m interface{ Run() int }) {
	if stage := os.Getenv(stageEnv); stage != "" {
		code := 0
		if err := play(stage); err != nil {
			fmt.Fprintf(os.Stderr, "labhost: %v\n", err)
			code = 1
		}
		unix.Exit(code) // os.Exit lets the race detector wait for a second
	}
	code := m.Run()
	if err := theLab().close(); err != nil {
		fmt.Fprintf(os.Stderr, "labhost: %v\n", err)
		code = max(code, 1)
	}
	os.Exit(code)
}

// play is what a part of the lab does, to its end.
func play(stage string) error {
	switch stage {
	case stageLab:
		return beLab()
	case stageBoot:
		return beBoot()
	case stageInit:
		return beInit()
	}
	return fmt.Errorf("start a part of the lab: there is no part %q", stage)
}
