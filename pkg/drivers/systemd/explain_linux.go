package systemd

import (
	"context"
	"fmt"
	"strings"

	"golang.org/x/sys/unix"

	"reconciler.dev/reconciler/internal/spawn"
	"reconciler.dev/reconciler/pkg/drivers"
)

// stage is where systemd failed on its way to execute the program: the exit status that it leaves then, its name, and the field of the manifest that is at fault.
type stage struct {
	name, field, what string
	permanent         bool
}

// stageOf is what an exit status of 200 and more says of a program that was never executed: systemd.exec(5), "Process Exit Codes".
func stageOf(status int) (stage, bool) {
	s, ok := map[int]stage{
		200: {"CHDIR", "spec.workingDir", "it can't be changed to", true},
		201: {"NICE", "spec.nice", "the priority can't be set", true},
		203: {"EXEC", "spec.binary", "it can't be executed", true},
		205: {"LIMITS", "spec.rlimits", "a limit can't be set", true},
		208: {"STDIN", "", "standard input can't be set up", false},
		209: {"STDOUT", "spec.log.path", "standard output can't be set up", true},
		210: {"CHROOT", "", "the root can't be changed", false},
		212: {"TIMERSLACK", "", "the timer slack can't be set", false},
		213: {"SECUREBITS", "spec.sandbox.capabilities", "the secure bits can't be set", true},
		214: {"SETSCHEDULER", "spec.nice", "the scheduler can't be set", true},
		216: {"GROUP", "spec.group", "the group can't be found or taken on", true},
		217: {"USER", "spec.user", "the user can't be found or taken on", true},
		218: {"CAPABILITIES", "spec.sandbox.capabilities", "they can't be applied", true},
		219: {"CGROUP", "spec.cgroup", "the cgroup can't be set up", false},
		220: {"SETSID", "", "no session could be made", false},
		222: {"STDERR", "spec.log.path", "standard error can't be set up", true},
		224: {"PAM", "", "no PAM session could be made", false},
		225: {"NETWORK", "", "the network can't be set up", false},
		226: {"NAMESPACE", "spec.sandbox", "its view of the file system can't be set up: this kernel or container doesn't let systemd, or a path in readWritePaths is missing", true},
		227: {"NO_NEW_PRIVILEGES", "spec.sandbox.noNewPrivileges", "it can't be set", true},
		231: {"CHOWN", "", "a socket's owner can't be set", false},
		243: {"CREDENTIALS", "spec.env", "its secrets can't be set up", true},
	}[status]
	return s, ok
}

// explainStart says in words why a start job failed. It is permanent where another try can't help.
func (d *Driver) explainStart(ctx context.Context, l *link, unit string, p *plan, o outcome) error {
	f := o.facts
	why, permanent := "", false
	switch s, failed := stageOf(f.Status); {
	case o.result == "canceled":
		return fmt.Errorf("start unit %s: somebody else stopped it meanwhile: %w", unit, drivers.ErrMoved)
	case o.result != "failed" && o.result != "timeout":
		return fmt.Errorf("start unit %s: the job ended as %q; systemctl status %[1]s says more", unit, o.result)
	case f.Code == exited && failed:
		why, permanent = fmt.Sprintf("%s: %s (systemd's status %d/%s)", orUnit(s.field, unit), s.what, f.Status, s.name), s.permanent
		if f.Status == 203 {
			why = fmt.Sprintf("spec.binary: %s can't be executed", p.want.Spec.Binary)
			if found := spawn.CheckProgram(p.want.Spec.Binary, nil); found != "" {
				why = fmt.Sprintf("spec.binary: %s: %s", p.want.Spec.Binary, found)
			}
		}
		if f.Status == 200 {
			why = fmt.Sprintf("spec.workingDir: %s can't be changed to", p.want.Spec.WorkingDir)
		}
	case f.Code == exited:
		why = fmt.Sprintf("it exited with status %d before it was up", f.Status)
	case f.Code == killed || f.Code == dumped:
		why = fmt.Sprintf("it was killed by %s before it was up", unix.SignalName(unix.Signal(f.Status)))
	case f.Result == "timeout":
		why = "it didn't say in time that it is up (spec.type " + string(p.want.Spec.Type) + ")"
	case f.Result == "protocol":
		why = "it ended, or lost its main process, before it was up (spec.type " + string(p.want.Spec.Type) + ")"
	default:
		why = "systemd says " + orUnit(f.Result, "no reason")
	}
	err := fmt.Errorf("start unit %s: %s%s", unit, why, d.lastWords(ctx, unit, f.Invocation))
	if permanent {
		return fmt.Errorf("%w: %w", err, drivers.ErrPermanent)
	}
	return err
}

func orUnit(text, other string) string {
	if text == "" {
		return other
	}
	return text
}

// lastWords are the last lines that an invocation left in the journal, as the end of a message.
func (d *Driver) lastWords(ctx context.Context, unit, invocation string) string {
	lines, err := d.journalTail(ctx, unit, invocation, 5)
	if err != nil || len(lines) == 0 {
		return ""
	}
	return "; the journal's last words: " + strings.Join(lines, " | ")
}
