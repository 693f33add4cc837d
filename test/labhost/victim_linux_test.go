package labhost

import (
	"fmt"
	"math/rand/v2"
	"os"
	"os/exec"
	"strings"
	"syscall"
	"testing"
)

// victimEnv says which of the victims a process is. Its name is one that is passed on to hosts.
const victimEnv = "RECONCILER_LABHOST_VICTIM"

func TestMain(m *testing.M) { Main(m) }

// TestVictim is the victim whose name is in the environment. Without one it holds that each is looked at by a test.
func TestVictim(t *testing.T) {
	if name := os.Getenv(victimEnv); name != "" {
		victims()[name](t)
		return
	}
	for name := range victims() {
		if tellings()[name] == nil && name != failsBeside && name != isKilled {
			t.Errorf("no test looks at the victim that %s", name)
		}
	}
}

// The victims of the tests that look at what is left.
const (
	failsBeside = "fails beside its hosts"
	isKilled    = "is killed"
)

// victims are tests that don't end well. They run in a process of their own, to see what becomes of it.
func victims() map[string]func(t *testing.T) {
	return map[string]func(t *testing.T){
		"fails on a host": func(t *testing.T) { Test(t, Bare, func(t *testing.T) { t.Error("it is broken") }) },
		"skips on a host": func(t *testing.T) {
			Test(t, Bare, func(t *testing.T) { t.Run("part", func(t *testing.T) { t.Skip("not today") }) })
		},
		"exits on a host":   func(t *testing.T) { Test(t, Bare, func(*testing.T) { os.Exit(0) }) },
		"fails in a kernel": func(t *testing.T) { Test(t, Limits, func(t *testing.T) { t.Error("it is broken") }) },
		"has another name there": func(t *testing.T) {
			t.Run(fmt.Sprint(rand.Int()), func(t *testing.T) { Test(t, Bare, func(*testing.T) {}) })
		},
		"asks twice": func(t *testing.T) {
			Test(t, Bare, func(*testing.T) {})
			Test(t, Cgroup, func(*testing.T) {})
		},
		failsBeside: func(t *testing.T) {
			Start(t, Systemd)
			Start(t, Cgroup)
			t.Error("it is broken")
		},
		isKilled: func(t *testing.T) {
			Start(t, Systemd)
			Start(t, Cgroup)
			fmt.Printf("%s\n", theLab(t).cgroup)
			select {}
		},
		"passes": func(t *testing.T) { Test(t, Bare, func(*testing.T) {}) },
	}
}

// victimCommand is the command that runs one of the victims.
func victimCommand(t *testing.T, name string) *exec.Cmd {
	cmd := exec.CommandContext(t.Context(), "/proc/self/exe", "-test.v", "-test.run=^TestVictim$")
	cmd.Env = append(os.Environ(), victimEnv+"="+name, "GORACE=atexit_sleep_ms=0")
	return cmd
}

// tellings are what the other victims must say.
func tellings() map[string][]string {
	return map[string][]string{
		"passes":                 {"| --- PASS: TestVictim ", "--- PASS: TestVictim "},
		"fails on a host":        {"it is broken", "on a bare host: the test binary ended with exit status 1", "--- FAIL: TestVictim "},
		"fails in a kernel":      {"it is broken", "on a limits host: the test binary ended with exit status 1", "--- FAIL: TestVictim "},
		"skips on a host":        {"on a bare host: skipped TestVictim/part", "--- FAIL: TestVictim "},
		"exits on a host":        {"unexpected call to os.Exit(0)", "on a bare host: the test binary ended with exit status 2", "--- FAIL: TestVictim "},
		"has another name there": {"on a bare host: the test didn't run", "--- FAIL: TestVictim "},
		"asks twice":             {"call labhost.Test once in a test", "--- FAIL: TestVictim "},
	}
}

func TestWhatHappensOnAHostIsTold(t *testing.T) {
	for name, says := range tellings() {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			out, err := victimCommand(t, name).CombinedOutput()
			if (err == nil) != (name == "passes") {
				t.Errorf("it ended with %v", err)
			}
			for _, s := range says {
				if !strings.Contains(string(out), s) {
					t.Errorf("it doesn't say %q", s)
				}
			}
			if t.Failed() {
				t.Logf("it says\n%s", out)
			}
		})
	}
}

// Who isn't root is told by each test that wants a host, and by no other.
func TestOthersSkip(t *testing.T) {
	theLab(t) // skips this one, too
	cmd := victimCommand(t, "passes")
	cmd.SysProcAttr = &syscall.SysProcAttr{Credential: &syscall.Credential{Uid: 65534, Gid: 65534}}
	out, err := cmd.CombinedOutput()
	if err != nil {
		t.Errorf("it ended with %v", err)
	}
	for _, s := range []string{"only root can make one", "--- SKIP: TestVictim "} {
		if !strings.Contains(string(out), s) {
			t.Errorf("it doesn't say %q:\n%s", s, out)
		}
	}
}
