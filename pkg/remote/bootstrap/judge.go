package bootstrap

import (
	"fmt"
	"path"
	"strings"
	"time"
)

// elsewhere is what to do where the folder for agents doesn't serve.
const elsewhere = "set agent.path of the Host to a folder that does, as /opt/reconciler"

// obstacle is what would keep a copy of the agent from getting to its place, or from running there; nil where nothing is known to.
func (b *booter) obstacle(f facts) *Problem {
	switch {
	case f.unwritable != "":
		return b.unwritable(f, f.unwritable)
	case f.noexec != "":
		return b.noExec(f, f.noexec)
	case f.free >= 0 && f.user != "root" && f.free < b.binary.Size-b.usablePart(f).size: // root has a reserve that df doesn't count
		return b.full(f, "")
	}
	return nil
}

// unwritable says why there can be no file in the folder for the agent; text is the host's.
func (b *booter) unwritable(f facts, text string) *Problem {
	lower := strings.ToLower(text)
	switch {
	case isFull(text):
		return b.full(f, text)
	case strings.Contains(lower, "read-only file system"):
		return b.problem(ReadOnly, clean(f.folder)+" is on a file system that is mounted read-only", "the account needs a folder for the agent where files can be made: "+
			elsewhere, "")
	}
	return b.problem(Denied, fmt.Sprintf("%s may not make files in %s", account(f), clean(f.folder)),
		"the account needs a folder for the agent where it may write and execute: mend that folder's owner and mode, or "+elsewhere, text)
}

func (b *booter) full(f facts, text string) *Problem {
	room := ""
	if f.free >= 0 {
		room = megabytes(f.free) + " free, "
	}
	return b.problem(DiskFull, fmt.Sprintf("there is no room for the agent in %s (%s%s needed)", clean(f.folder), room, megabytes(b.binary.Size)),
		"make room on that disk or in the account's quota; or, where another disk has room, "+elsewhere, text)
}

func (b *booter) noExec(f facts, text string) *Problem {
	return b.problem(NoExec, account(f)+" can't execute programs in "+clean(f.folder)+", as where a home directory is mounted noexec, or a policy or the mode of the folder forbids it",
		"the account needs a folder for the agent where it may execute what it wrote: "+elsewhere, text)
}

// copyProblem is what kept a copy from coming whole to its place.
func (b *booter) copyProblem(f facts, out copied) error {
	switch {
	case out.stage == "failed" || out.full():
		return b.unwritable(f, out.text)
	case out.stage == "installed" && out.status == 126:
		return b.noExec(f, out.text)
	case out.stage == "installed":
		return b.problem(Broken, fmt.Sprintf("the copy of the agent in %s couldn't put itself into place (exit status %d)", clean(f.folder), out.status),
			"see what it said, or put "+b.binary.File+" on the host yourself, and set agent.install: never and agent.path", out.text)
	}
	return b.problem(Broken, "the copy of the agent in "+clean(f.folder)+" came out different from "+b.binary.File, "try again", out.text)
}

// unusable says why the agent that was tried, and of whose place f was found, didn't answer but a.
func (b *booter) unusable(f facts, a answer) error {
	if f.file == "" {
		return b.problem(NoAgent, "there is "+b.wanted(f)+", and agent.install is never", b.putThere(f, true), "")
	}
	if p, ok := headPlatform(f.head); ok && p != f.platform {
		return b.problem(WrongPlatform, fmt.Sprintf("%s is a program for %s, and the host is %s", clean(f.file), p, f.platform), b.putThere(f, true), "")
	}
	denied := a.status() == 126 || strings.Contains(strings.ToLower(a.stderr), "permission denied")
	switch {
	case f.inert != "" && !strings.Contains(f.inert, "x"):
		return b.problem(NoExec, fmt.Sprintf("the mode of %s doesn't let %s execute it", clean(f.file), account(f)), "chmod 755 "+b.there(f)+" on the host", "")
	case f.noexec != "" || f.inert != "" || denied && !b.Sudo:
		f.folder = path.Dir(f.file)
		return b.noExec(f, f.noexec+" "+a.stderr)
	case b.Sudo:
		return b.sudoRefused(f, a)
	}
	how := outcome(a, b.Patience)
	if a.flooded {
		how = "says other things than an agent does, without an end"
	}
	return b.problem(Broken, clean(f.file)+" is there, and "+how, "see what it does there: "+b.ssh(b.there(f)+" version"), a.said)
}

// outcome is how a command came out that didn't answer.
func outcome(a answer, patience time.Duration) string {
	switch status := a.status(); {
	case a.late:
		return fmt.Sprintf("said nothing more for %s", patience)
	case status < 0:
		return "ended without an answer: " + clean(a.end.Error())
	default:
		return fmt.Sprintf("ended with status %d without an answer", status)
	}
}

// wanted is what was looked for.
func (b *booter) wanted(f facts) string {
	if b.place.file == agentFile {
		return "no " + agentFile + " in the PATH of " + account(f)
	}
	return "no agent at " + b.place.file
}

// sudoRefused says what lets the account run the agent as root.
func (b *booter) sudoRefused(f facts, a answer) error {
	switch {
	case f.user == "root":
		return b.problem(SudoRefused, "the account is root already, and sudo -n doesn't run the agent", "leave sudo out of the Host", a.stderr)
	case !f.sudo:
		return b.problem(SudoRefused, "there is no sudo on the host", "install it, or connect as root and leave sudo out of the Host", a.stderr)
	}
	file := f.file
	if b.Install != Never {
		file = path.Dir(f.folder) + "/*/" + agentFile
	}
	return b.problem(SudoRefused, "sudo -n doesn't let "+account(f)+" run the agent as root", "add this line with visudo -f /etc/sudoers.d/reconciler on the host: "+
		SudoersLine(f.user, file), a.stderr)
}

// SudoersLine is the line of sudoers(5) that lets an account run the agent at path as root. A * in path stands for the name of one folder.
func SudoersLine(user, path string) string {
	escape := strings.NewReplacer(`\`, `\\`, " ", `\ `, ",", `\,`, ":", `\:`, "=", `\=`)
	return clean(escape.Replace(user)) + " ALL=(root) NOPASSWD: " + clean(escape.Replace(path)) + " agent"
}

func account(f facts) string {
	if f.user == "" {
		return "the account"
	}
	return clean(f.user)
}
