package bootstrap

import (
	"bufio"
	"context"
	"errors"
	"io"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"reconciler.dev/reconciler/pkg/remote/link"
)

const (
	// endPatience is how long a command that has nothing more to say may take to end.
	endPatience = 2 * time.Second
	// mostNoise bounds what a host may say beside what it was asked for, in bytes.
	mostNoise = 1 << 20
	// mostSaid bounds what of that is kept for a message.
	mostSaid = 2 << 10
)

// errNoise is that a host says more than mostNoise beside what it was asked for.
var errNoise = errors.New("it says too much beside what it was asked for")

// answer is how a command that didn't do what it was to do came out.
type answer struct {
	// said is the first of what it wrote, and where it wrote nothing, the last of its stderr: the host's text.
	said string
	// stderr is the last of its stderr.
	stderr string
	// end is how it ended: nil for status 0, or a *link.ExitError.
	end error
	// late: it didn't end, and was given up.
	late bool
	// flooded: it said more than mostNoise, and was given up for that.
	flooded bool
	// lost is why the link was lost before it ended.
	lost error
}

// status is the exit status, -1 where there is none.
func (a answer) status() int {
	if exit := (*link.ExitError)(nil); errors.As(a.end, &exit) {
		return exit.Status
	}
	if a.end != nil || a.late {
		return -1
	}
	return 0
}

// listener keeps the first of what a stream says, for messages.
type listener struct {
	link.Stream
	mu    sync.Mutex
	heard []byte
}

func (l *listener) Read(b []byte) (int, error) {
	n, err := l.Stream.Read(b)
	l.mu.Lock()
	defer l.mu.Unlock()
	l.heard = append(l.heard, b[:min(n, mostSaid-len(l.heard))]...)
	return n, err
}

// finish ends a command: it closes its stdin, waits a little for its end, closes it, and says how it came out. Another command may be started then, also where the
// host permits one at a time.
func (l *listener) finish() answer {
	var late atomic.Bool
	timer := time.AfterFunc(endPatience, func() {
		late.Store(true)
		l.Close()
	})
	defer timer.Stop()
	_ = l.CloseWrite() // that it is closed already, or gone, is told by Wait
	n, _ := io.Copy(io.Discard, io.LimitReader(l, mostNoise))
	if n == mostNoise {
		late.Store(true)
		l.Close()
	}
	err := l.Wait()
	l.Close()
	a := answer{stderr: strings.TrimSpace(l.Stderr()), late: late.Load(), flooded: n == mostNoise}
	l.mu.Lock()
	a.said = strings.TrimSpace(string(l.heard))
	l.mu.Unlock()
	if a.said == "" {
		a.said = a.stderr
	}
	if exit := (*link.ExitError)(nil); err == nil || errors.As(err, &exit) {
		a.end, a.late = err, false
	} else if !a.late {
		a.lost = err
	}
	return a
}

// script is one of the scripts, running on a host.
type script struct {
	*listener
	in       *bufio.Reader
	noise    int
	patience time.Duration
	timer    *time.Timer
	late     atomic.Bool
	leave    func() bool
}

// startScript starts a script and waits for its first line. Each wait from here on, for a line or for the host to take what is written, is bounded by patience, and
// ends with ctx. The caller ends the script that it gets, also beside an error, with done; without one the error is the last word.
func (b *booter) startScript(ctx context.Context, text string) (*script, error) {
	patience := b.Patience
	stream, err := b.open(ctx, scriptCommand(text))
	if err != nil {
		return nil, err
	}
	s := &script{listener: &listener{Stream: stream}, patience: patience}
	s.in = bufio.NewReaderSize(s.listener, 16<<10)
	s.timer = time.AfterFunc(patience, func() {
		s.late.Store(true)
		stream.Close()
	})
	s.leave = context.AfterFunc(ctx, func() { stream.Close() })
	for {
		line, err := s.readLine()
		if err != nil {
			return s, err
		}
		if line == beginLine {
			return s, nil
		}
	}
}

// readLine returns the next line, without its end and no longer than the reader's buffer. That the host says too much is an error.
func (s *script) readLine() (string, error) {
	s.timer.Reset(s.patience)
	line, err := s.in.ReadSlice('\n')
	if s.noise += len(line); s.noise > mostNoise {
		return "", errNoise
	}
	text := strings.TrimRight(string(line), "\r\n ")
	for errors.Is(err, bufio.ErrBufferFull) {
		line, err = s.in.ReadSlice('\n')
		if s.noise += len(line); s.noise > mostNoise {
			return "", errNoise
		}
	}
	return text, err
}

// next returns the next thing that the script itself says: a word, and the rest of the line. What else is written meanwhile is passed over.
func (s *script) next() (key, value string, err error) {
	for {
		line, err := s.readLine()
		if err != nil {
			return "", "", err
		}
		if said, ok := strings.CutPrefix(line, linePrefix); ok {
			key, value, _ = strings.Cut(said, " ")
			return key, strings.TrimSpace(value), nil
		}
	}
}

// tell writes lines to the script.
func (s *script) tell(lines ...string) error {
	s.timer.Reset(s.patience)
	_, err := io.WriteString(s, strings.Join(lines, "\n")+"\n")
	return err
}

// Write hands bytes to the script.
func (s *script) Write(b []byte) (int, error) {
	s.timer.Reset(s.patience)
	return s.Stream.Write(b)
}

// done ends the script, and says how it came out.
func (s *script) done() answer {
	s.timer.Stop()
	s.leave()
	a := s.finish()
	a.late = a.late || s.late.Load()
	return a
}
