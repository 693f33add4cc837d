//go:build failpoints

package failpoint

import (
	"os"
	"os/exec"
	"path/filepath"
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

func TestTrace(t *testing.T) {
	file := filepath.Join(t.TempDir(), "trace")
	cmd := exec.Command(os.Args[0])
	cmd.Env = append(os.Environ(), Env+"=file.temp:2", TraceEnv+"="+file)
	_ = cmd.Run() // it kills itself
	got, err := os.ReadFile(file)
	if want := "other\nfile.temp\nfile.temp\n"; err != nil || string(got) != want {
		t.Errorf("got %q, %v, want %q", got, err, want)
	}
}
