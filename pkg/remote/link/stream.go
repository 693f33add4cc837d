package link

import (
	"errors"
	"io"
	"net"
	"sync"
	"time"

	"golang.org/x/crypto/ssh"
)

// maxStderr is how much of the end of a command's stderr is kept.
const maxStderr = 8 << 10

// stream is a command in a session. Its pipes stand between the session and who reads and writes, because only the host's answer, which may never come, unblocks
// those who wait on a session itself.
type stream struct {
	conn    *Conn
	session *ssh.Session
	stderr  tail

	out      *io.PipeReader
	fromHost *io.PipeWriter
	in       *io.PipeWriter
	toHost   *io.PipeReader

	ended  chan struct{}
	err    error // how it ended; set before ended is closed
	closed chan struct{}
	once   sync.Once
}

// start runs a command and returns once the host said that it runs.
func (c *Conn) start(command string) (*stream, error) {
	session, err := c.session()
	if err != nil {
		return nil, err
	}
	s := &stream{conn: c, session: session, ended: make(chan struct{}), closed: make(chan struct{})}
	session.Stderr = &s.stderr
	stdin, err := session.StdinPipe()
	if err != nil {
		return nil, err // not to be had: it is asked for once
	}
	stdout, err := session.StdoutPipe()
	if err != nil {
		return nil, err // as above
	}
	if err := session.Start(command); err != nil {
		_ = session.Close() // what matters is why it didn't start
		return nil, err
	}
	s.out, s.fromHost = io.Pipe()
	s.toHost, s.in = io.Pipe()
	go func() {
		_, err := io.Copy(s.fromHost, stdout)
		s.fromHost.CloseWithError(s.reason(err))
	}()
	go func() {
		_, err := io.Copy(stdin, s.toHost)
		s.toHost.CloseWithError(s.reason(err))
		_ = stdin.Close() // an end that can't be told has been told
	}()
	go func() {
		s.err = s.end(session.Wait())
		close(s.ended)
	}()
	return s, nil
}

// session opens a session. A host that counts them (MaxSessions) may count one that ended until it has looked round once more: sshd does that after all that it was
// sent at once. So it is asked again, twice, when it refuses.
func (c *Conn) session() (session *ssh.Session, err error) {
	for _, pause := range []time.Duration{10 * time.Millisecond, 100 * time.Millisecond, 0} {
		session, err = c.client.NewSession()
		var refused *ssh.OpenChannelError
		if pause == 0 || !errors.As(err, &refused) {
			break
		}
		select {
		case <-c.done:
		case <-time.After(pause):
		}
	}
	return session, err
}

// reason is why no more comes or goes: the loss of the connection where that is it.
func (s *stream) reason(err error) error {
	if lost := s.conn.loss(); lost != nil {
		return lost
	}
	if errors.Is(err, io.EOF) { // writing to a command that is no more
		return io.ErrClosedPipe
	}
	return err
}

// grace is how much later than a session the connection may be known to be lost.
const grace = 50 * time.Millisecond

// end translates how a session ended.
func (s *stream) end(err error) error {
	var exit *ssh.ExitError
	switch {
	case err == nil:
		return nil
	case errors.As(err, &exit):
		status := exit.ExitStatus()
		if exit.Signal() != "" {
			status = -1
		}
		return &ExitError{Status: status, Signal: exit.Signal()}
	}
	select {
	case <-s.conn.done:
		return s.conn.err
	case <-time.After(grace):
	}
	if lost := s.conn.loss(); lost != nil {
		return lost
	}
	return &ExitError{Status: -1}
}

func (s *stream) Read(p []byte) (int, error)  { return s.out.Read(p) }
func (s *stream) Write(p []byte) (int, error) { return s.in.Write(p) }
func (s *stream) CloseWrite() error           { return s.in.Close() }
func (s *stream) Stderr() string              { return s.stderr.String() }

func (s *stream) Wait() error {
	select {
	case <-s.ended:
		return s.err
	default:
	}
	select {
	case <-s.ended:
		return s.err
	case <-s.closed:
		return unreachable(net.ErrClosed, "%s: the command was let go", s.conn.target.where())
	}
}

func (s *stream) Close() error {
	s.once.Do(func() {
		close(s.closed)
		s.fromHost.CloseWithError(net.ErrClosed)
		s.toHost.CloseWithError(net.ErrClosed)
		go s.session.Close() // it may wait for a link that is stuck, and ends with it
	})
	return nil
}

// tail keeps the last of what is written to it.
type tail struct {
	mu   sync.Mutex
	kept []byte
}

func (t *tail) Write(p []byte) (int, error) {
	t.mu.Lock()
	defer t.mu.Unlock()
	n := len(p)
	if n > maxStderr {
		p = p[n-maxStderr:]
	}
	if over := len(t.kept) + len(p) - maxStderr; over > 0 {
		t.kept = t.kept[:copy(t.kept, t.kept[over:])]
	}
	t.kept = append(t.kept, p...)
	return n, nil
}

func (t *tail) String() string {
	t.mu.Lock()
	defer t.mu.Unlock()
	return string(t.kept)
}
