package e2e

import (
	"io"
	"os"
	"os/exec"
	"os/signal"
	"strconv"
	"syscall"
)

// guardEnv says which run of the tests this process is the guard of, and guardDir where that run works.
const (
	guardEnv = "E2E_GUARD_OF"
	guardDir = "E2E_GUARD_DIR"
)

// startGuard starts a process that ends what the tests leave behind if they don't come to their own end: at a panic, ^C or the limit of go test. It learns
// of that by the end of a pipe, which the kernel closes however this process ends.
func startGuard() error {
	r, w, err := os.Pipe()
	if err != nil {
		return err
	}
	defer r.Close()
	cmd := exec.Command("/proc/self/exe")
	cmd.Env = append(os.Environ(), guardEnv+"="+strconv.FormatUint(thisRun, 10), guardDir+"="+bin)
	cmd.Stdin = r
	cmd.SysProcAttr = &syscall.SysProcAttr{Setsid: true}
	pipe = w
	return cmd.Start()
}

// pipe is open for as long as this process lives.
var pipe *os.File

// guard waits for the end of the tests, and ends what is left of them.
func guard(run string) {
	signal.Ignore(syscall.SIGINT, syscall.SIGTERM, syscall.SIGHUP)
	number, err := strconv.ParseUint(run, 10, 64)
	if err != nil {
		return
	}
	_, _ = io.Copy(io.Discard, os.Stdin)
	for found := true; found; { // what forks meanwhile is found the next time
		found = false
		pids, _ := processes()
		for _, pid := range pids {
			if killIf(pid, func(pid int) bool { return ofRun(pid, number) && alive(pid) }) == nil {
				found = true
			}
		}
	}
	_ = os.RemoveAll(os.Getenv(guardDir))
}

func alive(pid int) bool {
	_, ok := look(pid)
	return ok
}
