package bootstrap

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"

	"reconciler.dev/reconciler/internal/plaintext"
	"reconciler.dev/reconciler/pkg/drivers"
)

// Kind names what stands in the way of an agent, for scripts and tests.
type Kind string

// The kinds of problems.
const (
	// NoAgent: there is no agent on the host, and none may be copied to it.
	NoAgent Kind = "NoAgent"
	// NoBinary: this controller has no agent for the host's platform.
	NoBinary Kind = "NoBinary"
	// WrongPlatform: the program on the host was built for another platform.
	WrongPlatform Kind = "WrongPlatform"
	// Skew: the agent on the host and this controller don't understand each other.
	Skew Kind = "Skew"
	// NoExec: what lies where the agent is to be can't be executed.
	NoExec Kind = "NoExec"
	// DiskFull: there is no room for the agent, or the account's quota is used up.
	DiskFull Kind = "DiskFull"
	// ReadOnly: the file system for the agent is mounted read-only.
	ReadOnly Kind = "ReadOnly"
	// Denied: the account may not write where the agent is to be.
	Denied Kind = "Denied"
	// NoSession: the host takes the connection and opens no session on it.
	NoSession Kind = "NoSession"
	// NoLogin: the account's login shell runs no commands.
	NoLogin Kind = "NoLogin"
	// OtherCommand: the host runs something else than the command that it was asked for.
	OtherCommand Kind = "OtherCommand"
	// Hanging: the host takes commands, and they don't get anywhere.
	Hanging Kind = "Hanging"
	// SudoRefused: the account may not run the agent as root without a password.
	SudoRefused Kind = "SudoRefused"
	// Broken: the agent is there, and doesn't answer.
	Broken Kind = "Broken"
)

// Problem is what stands in the way of an agent on a host.
type Problem struct {
	Kind Kind
	Host string
	// Found is what was found, and Do is what to do next; plain text, fit for a terminal.
	Found, Do string
	cause     error
}

func (p *Problem) Error() string {
	return "start the agent on " + p.Host + ": " + p.Found + "; " + p.Do
}

// Unwrap returns drivers.ErrUnreachable, drivers.ErrPermanent where it is the kind of problem that doesn't go away by itself, and what the agent's greeting came to.
func (p *Problem) Unwrap() []error {
	errs := []error{drivers.ErrUnreachable}
	if !slices.Contains([]Kind{DiskFull, Hanging, Broken}, p.Kind) {
		errs = append(errs, drivers.ErrPermanent)
	}
	if p.cause != nil {
		errs = append(errs, p.cause)
	}
	return errs
}

// problem makes a Problem. said is what the host said meanwhile, where that may help.
func (b *booter) problem(kind Kind, found, do, said string) *Problem {
	if said = quoted(said); said != "" {
		found += "; it said " + said
	}
	return &Problem{Kind: kind, Host: b.Host, Found: found, Do: do}
}

// quoted makes text of the far side fit to be quoted.
func quoted(said string) string {
	const most = 300
	if said = plaintext.Line(said, most); said == "" {
		return ""
	}
	return "“" + said + "”"
}

// clean makes a word of the far side fit to stand in a message without quotes.
func clean(word string) string { return plaintext.Line(word, 200) }

func isFull(text string) bool {
	text = strings.ToLower(text)
	return strings.Contains(text, "no space left") || strings.Contains(text, "quota exceeded")
}

// skew says that the agent there and this controller don't go together.
func (b *booter) skew(ctx context.Context, cause error) error {
	do := ""
	if b.Install == Never {
		f, err := b.probe(ctx, answer{})
		do = b.putThere(f, err == nil)
	} else {
		do = "an agent other than the one that was copied answers: see the command= that authorized_keys gives this key on the host, and replace the program that it names by " +
			"this version's"
	}
	return &Problem{Kind: Skew, Host: b.Host, Found: clean(cause.Error()), Do: do, cause: cause}
}

// putThere says which file to put where. Where the host could not be looked at, it says so for whatever platform it is.
func (b *booter) putThere(f facts, looked bool) string {
	target := b.there(f)
	if target == agentFile {
		target = "/usr/local/bin/" + agentFile
	}
	if !looked {
		return fmt.Sprintf("put the program of this version for the host's platform at %s there (the one for %s is %s)", target, Own(), b.ownFile())
	}
	file, err := b.Binaries.For(f.platform)
	if err != nil {
		return fmt.Sprintf("make the program for it with hack/agents.sh %s, and put %s at %s there, with mode 755", f.platform, f.platform.File(), target)
	}
	return fmt.Sprintf("put %s at %s there, with mode 755: %s", file.File, target, b.scp(file.File, target))
}

// there is where the agent is on the host, fit for a command that a person may copy: as the host says, where it is a plain path.
func (b *booter) there(f facts) string {
	if CheckPath(f.file) == nil {
		return f.file
	}
	return b.place.file
}

func (b *booter) ownFile() string {
	if file, err := b.Binaries.For(Own()); err == nil {
		return file.File
	}
	return Own().File()
}

// hanging says that nothing came of a command.
func (b *booter) hanging(a answer) error {
	return b.problem(Hanging, fmt.Sprintf("no agent answered within %s, and the command didn't end either", b.Patience),
		"look at what the account's login runs first (.bashrc, .zshenv, .cshrc, config.fish, /etc/profile.d, ~/.ssh/rc), as something there may wait: "+
			b.ssh("true")+" must come back at once", a.said)
}

// deaf says that a host ran neither the agent's command, which came out as first, nor a script for /bin/sh, which came out as second.
func (b *booter) deaf(first, second answer) error {
	said := second.said
	if said == "" {
		said = first.said
	}
	lower := strings.ToLower(said)
	switch {
	case said == "" || strings.Contains(lower, "not available") || strings.Contains(lower, "nologin"):
		return b.problem(NoLogin, fmt.Sprintf("the login shell of the account runs no commands (exit status %d)", second.status()),
			"where that shell is nologin or the like, give the account another, as with usermod --shell /bin/sh ACCOUNT on the host, or connect as another user; where it isn't, "+
				"something that the login runs first ends it, as an exit in .bashrc does: "+b.ssh("true")+" must succeed", said)
	case strings.Contains(lower, "is not recognized"):
		return b.problem(OtherCommand, "the account's shell is one of Windows, and agents are copied only to hosts that have /bin/sh",
			"put "+Platform{"windows", "amd64"}.File()+" on the host, and name it in the Host: agent: {install: never, path: 'C:/…'}", said)
	}
	return b.problem(OtherCommand, "the host doesn't run the commands that it is asked for",
		"look at what ~/.ssh/authorized_keys there gives this key: command=\"…/reconciler agent\" would do; or it is the account's shell, which must run /bin/sh", said)
}

// noBinary says that there is nothing to copy to the host.
func (b *booter) noBinary(f facts, err error) error {
	if !errors.As(err, new(*missingBinary)) {
		return fmt.Errorf("start the agent on %s: %w", b.Host, err)
	}
	return b.problem(NoBinary, "the host is "+f.platform.String()+", and "+err.Error(), "or build it on the host, and set agent.install: never and agent.path", "")
}
