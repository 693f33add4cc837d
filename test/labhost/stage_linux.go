package labhost

import (
	"fmt"
	"os"

	"golang.org/x/sys/unix"
)

// stageEnv tells a process that it is a part of the lab of another one that runs the same binary.
const stageEnv = "LABHOST_STAGE"

// The parts of the lab.
const (
	stageLab  = "lab"  // holds what the hosts share: process 1 of the lab's PID namespace
	stageBoot = "boot" // boots one host, waits for its end, and tells both
	stageInit = "init" // becomes process 1 of a host

	stageMachine     = "machine"      // runs a kernel, and in it the test
	stageMachineInit = "machine-init" // is process 1 there
	stageMachineTest = "machine-test" // runs the test there, and then switches the machine off
)

// Stage plays the part of the lab that this process was started for, and never returns then; else it does nothing. A program that calls Open calls it first in main.
func Stage() {
	stage := os.Getenv(stageEnv)
	if stage == "" {
		return
	}
	code := 0
	if err := play(stage); err != nil {
		fmt.Fprintf(os.Stderr, "labhost: %v\n", err)
		code = 1
	}
	unix.Exit(code) // os.Exit lets the race detector wait for a second
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
	case stageMachine:
		return beMachine()
	case stageMachineInit:
		return beMachineInit()
	case stageMachineTest:
		return beMachineTest()
	}
	return fmt.Errorf("start a part of the lab: there is no part %q", stage)
}
