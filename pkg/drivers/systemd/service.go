package systemd

import (
	"bytes"
	"fmt"
	"maps"
	"slices"
	"strings"

	"reconciler.dev/reconciler/pkg/drivers"
)

// ServiceName is the unit that keeps a reconciler run going.
const ServiceName = "reconciler.service"

// serviceMark is how a unit of that name is known for ours.
const serviceMark = "# Written by reconciler install-service; reconciler uninstall-service removes it."

// Service is a reconciler run as a unit of its own.
type Service struct {
	// Tool is the absolute path of reconciler, and Args what follows it.
	Tool string
	Args []string
	// Env are variables that it needs, by name.
	Env map[string]string
	// Cgroups says that Args ask for the cgroup driver before any other.
	Cgroups bool
	// User says that a user's manager runs it. Version is systemd's, 0 where it isn't known. Both are found out where it is installed.
	User    bool
	Version int
}

// subgroups is the version of systemd that can start a unit again while controllers are enabled for groups below its own, as the cgroup driver does it: by DelegateSubgroup=.
const subgroups = 254

// Text is the unit file. KillMode=process, OOMPolicy=continue and TasksMax=infinity let daemons that are below the unit live on when it ends, and keep them from ending it;
// Delegate= lets the cgroup driver work below it, where this systemd could start the unit again then. An error, which wraps drivers.ErrUnsupported, says what no unit can carry.
func (s Service) Text() ([]byte, error) {
	for _, text := range slices.Concat([]string{s.Tool}, s.Args, slices.Collect(maps.Values(s.Env))) {
		if !carriable(text) || controls(text) {
			return nil, fmt.Errorf("write %s: %q can't stand in a unit file: %w", ServiceName, text, drivers.ErrUnsupported)
		}
	}
	if s.Cgroups && s.Version < subgroups {
		return nil, fmt.Errorf("write %s: systemd %d couldn't start it again while the cgroup driver has daemons below it (%d can); leave cgroup out of --drivers: units have the same limits: %w", ServiceName, s.Version, subgroups, drivers.ErrUnsupported)
	}
	if !executable(s.Tool) {
		return nil, fmt.Errorf("write %s: systemd takes no program called %q; install reconciler elsewhere: %w", ServiceName, s.Tool, drivers.ErrUnsupported)
	}
	var b bytes.Buffer
	line := func(key, value string) { fmt.Fprintf(&b, "%s=%s\n", key, value) }
	b.WriteString(serviceMark + "\n\n[Unit]\nDescription=reconciler keeps daemons as their manifests say\nStartLimitIntervalSec=0\n")
	target := "default.target"
	if !s.User {
		target = "multi-user.target"
		line("After", "network.target")
	}
	b.WriteString("\n[Service]\nType=notify\n")
	line("ExecStart", commandLine(s.Tool, s.Args))
	for _, name := range slices.Sorted(maps.Keys(s.Env)) {
		line("Environment", quote(name+"="+s.Env[name], word))
	}
	b.WriteString("KillMode=process\nRestart=always\nRestartSec=1\nOOMPolicy=continue\nTasksMax=infinity\n")
	if s.Version >= subgroups {
		line("Delegate", "yes")
		line("DelegateSubgroup", "reconciler-self") // where the cgroup driver puts its own process: systemd finds room there for the next one
	}
	b.WriteString("\n[Install]\n")
	line("WantedBy", target)
	return b.Bytes(), nil
}

// IsService tells whether a unit file is one of Service's.
func IsService(text []byte) bool { return strings.HasPrefix(string(text), serviceMark+"\n") }

// Installed is what became of a unit of Service's: where it is, and created, configured or unchanged.
type Installed struct{ Path, Action string }
