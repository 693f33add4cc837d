package bootstrap

import (
	"context"
	"errors"
	"fmt"
	"time"

	"reconciler.dev/reconciler/pkg/drivers"
	"reconciler.dev/reconciler/pkg/remote/link"
)

// Policy says whose business an agent's program on a host is.
type Policy string

const (
	// Auto copies it where it is missing. It is what an empty Policy means.
	Auto Policy = "auto"
	// Never starts what somebody else put there.
	Never Policy = "never"
)

// Options say how the agent of one host is found and started.
type Options struct {
	// Host is how messages call the host.
	Host string
	// Way is how ssh(1) gets to the host, for the commands that messages tell a person to give; nil where it knows the host by that name. Of the keys the first counts.
	Way *link.Target
	// Install is Auto or Never.
	Install Policy
	// Path is where the agent is: absolute, or from the home directory with ~/. With Auto it is the folder that agents are copied into, each in a folder of its own
	// named by its content; ~/.cache/reconciler/agents where empty. With Never it is the program; where empty, reconciler in the account's PATH.
	Path string
	// Sudo runs the agent as root, by sudo -n.
	Sudo bool
	// Binaries are the agents that there are to copy.
	Binaries *Binaries
	// Cache remembers what hosts are.
	Cache Cache
	// Patience is how long the host may take for anything that it is asked, and be silent while it takes a copy; 15 seconds where 0.
	Patience time.Duration
	// Say, where it isn't nil, is told what takes a while, one line each.
	Say func(line string)
}

const defaultPatience = 15 * time.Second

// Handshake greets the agent that a stream may lead to, and keeps the stream where it answers. ctx bounds the greeting alone. What it returns is judged thus: an
// error that wraps drivers.ErrPermanent or drivers.ErrUnsupported says that an agent answered which this controller can't work with; after any other the stream must not
// be in use any more, and it is looked at why no agent answered.
type Handshake func(ctx context.Context, stream link.Stream) error

// Agent starts the agent of a host and returns when greet has accepted it. The agent is copied to the host first where it is missing and may be copied. Commands
// run strictly one after another.
//
// What a host stands in the way with is a *Problem. It wraps drivers.ErrUnreachable, as what runs on the host can't be known without an agent, and drivers.ErrPermanent
// where trying again can't help. A link that is lost is an error that wraps drivers.ErrUnreachable alone.
func Agent(ctx context.Context, opener link.Opener, opts Options, greet Handshake) error {
	if opts.Patience <= 0 {
		opts.Patience = defaultPatience
	}
	b := &booter{Options: opts, opener: opener, greet: greet}
	guess, known := opts.Cache.platform(opts.Host)
	if !known {
		guess = Own()
	}
	if err := b.aim(guess); errors.As(err, new(*missingBinary)) {
		return b.mend(ctx, answer{}) // its place has no name, but the host may be something else
	} else if err != nil {
		return fmt.Errorf("start the agent on %s: %w", opts.Host, err)
	}
	a, err := b.try(ctx)
	if a == nil {
		return err
	}
	return b.mend(ctx, *a)
}

// booter is one call of Agent.
type booter struct {
	Options
	opener link.Opener
	greet  Handshake
	binary *Binary // nil with Never
	place  place
	opened int // commands so far
}

// aim says for which platform the agent is to be.
func (b *booter) aim(p Platform) (err error) {
	hash := ""
	b.binary, b.place = nil, place{}
	if b.Install != Never {
		if b.binary, err = b.Binaries.For(p); err != nil {
			return err
		}
		hash = b.binary.Hash
	}
	b.place, err = placeOf(b.Options, hash)
	return err
}

// try starts the agent where it is to be. It returns nil, nil where greet accepted it; how the command came out where it turned out to be none; or an error that ends
// the search.
func (b *booter) try(ctx context.Context) (*answer, error) {
	bounded, cancel := context.WithTimeout(ctx, b.Patience)
	defer cancel()
	stream, err := b.open(bounded, b.place.command(b.Sudo))
	if err != nil {
		return nil, err
	}
	heard := &listener{Stream: stream}
	leave := context.AfterFunc(bounded, func() { stream.Close() })
	err = b.greet(bounded, heard)
	if leave() && err == nil {
		return nil, nil
	}
	late := bounded.Err() != nil && ctx.Err() == nil
	a := heard.finish()
	switch {
	case ctx.Err() != nil:
		return nil, fmt.Errorf("start the agent on %s: %w", b.Host, context.Cause(ctx))
	case errors.Is(err, drivers.ErrPermanent), errors.Is(err, drivers.ErrUnsupported):
		return nil, b.skew(ctx, err)
	case late:
		return nil, b.hanging(a)
	case a.lost != nil:
		return nil, b.lost(a.lost)
	}
	return &a, nil
}

// mend finds out why the agent of b.place didn't answer but a, does what can be done about it, and tries again.
func (b *booter) mend(ctx context.Context, a answer) error {
	f, err := b.probe(ctx, a)
	if err != nil {
		return err
	}
	if b.Install == Never {
		return b.unusable(f, a)
	}
	b.Cache.setPlatform(b.Host, f.platform)
	if b.binary == nil || b.binary.Platform != f.platform {
		if err := b.aim(f.platform); err != nil {
			return b.noBinary(f, err)
		}
		again, err := b.try(ctx)
		if again == nil {
			return err
		}
		if f, err = b.probe(ctx, *again); err != nil {
			return err
		}
		a = *again
	}
	whole, err := b.binary.Cksum()
	if err != nil {
		return fmt.Errorf("read the agent for %s: %w", b.Host, err)
	}
	if f.file != "" && f.sum == whole && f.inert == "" {
		return b.unusable(f, a)
	}
	if p := b.obstacle(f); p != nil {
		return p
	}
	if err := b.copy(ctx, f, whole); err != nil {
		return err
	}
	again, err := b.try(ctx)
	if again == nil {
		return err
	}
	f.file, f.sum, f.inert, f.head = b.place.file, whole, "", ""
	return b.unusable(f, *again)
}

// probe looks at the host. a is how the agent's command came out before.
func (b *booter) probe(ctx context.Context, a answer) (facts, error) {
	f := facts{free: -1}
	s, err := b.startScript(ctx, probeScript)
	if s == nil {
		return f, err
	}
	if err == nil {
		folder := ""
		if b.binary != nil {
			folder = stdinPath(b.place.folderOfFile())
		}
		err = s.tell(stdinPath(b.place.file), folder)
	}
	began := err == nil
	for key, value := "", ""; err == nil; {
		if key, value, err = s.next(); key == endLine {
			return f, b.left(ctx, s.done())
		}
		f.add(key, value)
	}
	out := s.done()
	if err := b.left(ctx, out); err != nil {
		return f, err
	}
	switch {
	case began && !errors.Is(err, errNoise):
		return f, b.problem(Hanging, "the host began to say what it is, and then "+outcome(out, b.Patience), "see whether the account's home directory, or a program as df, hangs there", out.stderr)
	case out.late && !errors.Is(err, errNoise):
		return f, b.hanging(out)
	}
	return f, b.deaf(a, out)
}

// left is the error of a script that ended because ctx did, or with the link.
func (b *booter) left(ctx context.Context, out answer) error {
	switch {
	case ctx.Err() != nil:
		return fmt.Errorf("start the agent on %s: %w", b.Host, context.Cause(ctx))
	case out.lost != nil && !out.late:
		return b.lost(out.lost)
	}
	return nil
}

// sessionPauses are how long is waited before a command is started again that the host had no session for, as where the one before isn't quite gone.
func sessionPauses() []time.Duration {
	return []time.Duration{50 * time.Millisecond, 200 * time.Millisecond, 750 * time.Millisecond}
}

// open starts a command.
func (b *booter) open(ctx context.Context, command string) (link.Stream, error) {
	bounded, cancel := context.WithTimeout(ctx, b.Patience)
	defer cancel()
	stream, err := b.opener.Open(bounded, command)
	for _, pause := range sessionPauses() {
		if !errors.Is(err, link.ErrNoSession) || b.opened == 0 {
			break
		}
		select {
		case <-bounded.Done():
		case <-time.After(pause):
		}
		stream, err = b.opener.Open(bounded, command)
	}
	switch {
	case err == nil:
		b.opened++
		return stream, nil
	case errors.Is(err, drivers.ErrUnreachable), bounded.Err() != nil:
		return nil, b.lost(err)
	case errors.Is(err, link.ErrNoSession):
		return nil, b.problem(NoSession, clean(err.Error()), "the agent needs one: see MaxSessions in the host's sshd_config", "")
	}
	return nil, b.problem(NoLogin, clean(err.Error()), "let the account run commands, or connect as another user", "")
}

// lost says that the link was what failed.
func (b *booter) lost(err error) error { return fmt.Errorf("start the agent on %s: %w", b.Host, err) }

func (b *booter) say(format string, args ...any) {
	if b.Say != nil {
		b.Say(fmt.Sprintf(format, args...))
	}
}
