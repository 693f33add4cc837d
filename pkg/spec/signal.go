package spec

import (
	"fmt"
	"slices"
	"strings"
)

// Signal is a signal by its full name, as in "SIGTERM". The driver gives it its number, which differs between platforms.
type Signal string

// signals are the names that POSIX and Linux have in common; see signal(7).
func signals() []string {
	return []string{
		"SIGHUP", "SIGINT", "SIGQUIT", "SIGABRT", "SIGKILL", "SIGUSR1", "SIGUSR2", "SIGPIPE", "SIGALRM", "SIGTERM",
		"SIGCHLD", "SIGCONT", "SIGSTOP", "SIGTSTP", "SIGTTIN", "SIGTTOU", "SIGURG", "SIGXCPU", "SIGXFSZ", "SIGVTALRM",
		"SIGPROF", "SIGWINCH", "SIGIO", "SIGSYS",
	}
}

// UnmarshalText reads a signal's name, with or without SIG.
func (s *Signal) UnmarshalText(b []byte) error {
	name := strings.ToUpper(string(b))
	if !strings.HasPrefix(name, "SIG") {
		name = "SIG" + name
	}
	if !slices.Contains(signals(), name) {
		return fmt.Errorf("%q is not a signal: write its name, as in SIGTERM, SIGINT or SIGHUP", b)
	}
	*s = Signal(name)
	return nil
}
