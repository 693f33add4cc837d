//go:build failpoints

package failpoint

import (
	"os"
	"os/exec"
	"syscall"
	"testing"
)

func TestMain(m *testing.M) {
	if os.Getenv(Env) != "" {
		Hit("other")
		Hit(FileTemp)
		os.Stdout.WriteString("once")
		Hit(FileTemp)
		os.Stdout.WriteString("twice")
		os.Exit(0)
	}
	os.Exit(m.Run())
}

func TestHit(t *testing.T) {
	for value, want := range map[string]string{"file.temp": "", "file.temp:1": "", "file.temp:2": "once", "file.temp:3": "oncetwice", "none": "oncetwice"} {
		cmd := exec.Command(os.Args[0])
		cmd.Env = append(os.Environ(), Env+"="+value)
		out, _ := cmd.Output()
		killed := cmd.ProcessState.Sys().(syscall.WaitStatus).Signal() == syscall.SIGKILL
		if string(out) != want || killed != (want != "oncetwice") {
			t.Errorf("%s=%s: got as far as %q, killed %v; want %q", Env, value, out, killed, want)
		}
	}
}
