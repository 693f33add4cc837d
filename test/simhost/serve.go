package simhost

import (
	"context"
	"io"
	"net"
	"strconv"
	"sync"
	"sync/atomic"

	"golang.org/x/crypto/ssh"
)

// serve does what sshd does with a connection.
func (h *Host) serve(ctx context.Context, conn net.Conn) {
	if h.hangs(Greeting) || h.hangs(KeyExchange) {
		if h.hangs(KeyExchange) {
			_, _ = io.WriteString(conn, "SSH-2.0-simhost\r\n")
		}
		silence(conn)
		h.startedUp()
		return
	}
	sc, chans, reqs, err := ssh.NewServerConn(conn, h.config(conn))
	h.startedUp()
	if err != nil {
		return
	}
	ctx, cancel := context.WithCancel(ctx)
	var wg sync.WaitGroup
	defer wg.Wait()
	defer cancel()
	wg.Go(func() { h.answer(sc, reqs) })
	var sessions atomic.Int32
	for ch := range chans {
		h.note(ch.ChannelType())
		switch {
		case h.hangs(Session):
		case ch.ChannelType() == "direct-tcpip":
			wg.Go(func() { h.forward(ctx, ch) })
		case ch.ChannelType() != "session":
			_ = ch.Reject(ssh.UnknownChannelType, "unknown channel type") // it is gone, or told
		case h.options.MaxSessions > 0 && int(sessions.Load()) >= h.options.MaxSessions:
			_ = ch.Reject(ssh.ConnectionFailed, "open failed") // sshd's own words
		default:
			sessions.Add(1)
			wg.Go(func() {
				h.session(ctx, ch)
				sessions.Add(-1)
			})
		}
	}
}

// answer answers global requests as sshd does: it knows none of them.
func (h *Host) answer(sc *ssh.ServerConn, reqs <-chan *ssh.Request) {
	for req := range reqs {
		h.note(req.Type)
		if req.WantReply && !h.hangs(Alive) {
			_ = req.Reply(false, nil) // it is gone, or told
		}
	}
	_ = sc.Close() // it is closed already
}

// session runs the one command of a session.
func (h *Host) session(ctx context.Context, open ssh.NewChannel) {
	ch, reqs, err := open.Accept()
	if err != nil {
		return
	}
	defer ch.Close()
	ctx, cancel := context.WithCancel(ctx)
	var wg sync.WaitGroup
	defer wg.Wait()
	defer cancel()
	ran := false
	for req := range reqs {
		h.note(req.Type)
		var exec struct{ Command string }
		ok := req.Type == "exec" && !ran && h.options.Handle != nil && ssh.Unmarshal(req.Payload, &exec) == nil
		if req.Type == "exec" && h.hangs(Command) {
			continue
		}
		if req.WantReply {
			_ = req.Reply(ok, nil) // it is gone, or told
		}
		if ok {
			ran = true
			wg.Go(func() {
				defer ch.Close()
				status := h.options.Handle(ctx, exec.Command, ch, ch, ch.Stderr())
				_ = ch.CloseWrite() // whoever is gone misses nothing
				if status >= 0 {
					_, _ = ch.SendRequest("exit-status", false, ssh.Marshal(struct{ Status uint32 }{uint32(status)}))
				}
			})
		}
	}
}

// forward connects a channel to where it is to go: RFC 4254, section 7.2.
func (h *Host) forward(ctx context.Context, open ssh.NewChannel) {
	var to struct {
		Host     string
		Port     uint32
		From     string
		FromPort uint32
	}
	switch err := ssh.Unmarshal(open.ExtraData(), &to); {
	case err != nil:
		_ = open.Reject(ssh.ConnectionFailed, "malformed") // it is gone, or told
		return
	case !h.options.Forward:
		_ = open.Reject(ssh.Prohibited, "open failed") // as above; sshd's own words
		return
	}
	conn, err := (&net.Dialer{}).DialContext(ctx, "tcp", net.JoinHostPort(to.Host, strconv.Itoa(int(to.Port))))
	if err != nil {
		_ = open.Reject(ssh.ConnectionFailed, err.Error()) // as above
		return
	}
	ch, reqs, err := open.Accept()
	if err != nil {
		conn.Close()
		return
	}
	go ssh.DiscardRequests(reqs)
	stop := context.AfterFunc(ctx, func() { conn.Close() })
	defer stop()
	join(conn, ch)
}

// join copies both ways until one side ends, and closes both.
func join(a, b io.ReadWriteCloser) {
	var wg sync.WaitGroup
	for _, way := range [][2]io.ReadWriteCloser{{a, b}, {b, a}} {
		wg.Go(func() {
			_, _ = io.Copy(way[0], way[1]) // how it ended doesn't matter
			a.Close()
			b.Close()
		})
	}
	wg.Wait()
}
