package loadgen

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"slices"
	"sync"
	"syscall"
	"time"
)

// generator is one call of Run.
type generator struct {
	Options
	// room holds a value for each request under way.
	room     chan struct{}
	underWay sync.WaitGroup

	mu     sync.Mutex
	idle   []*keeper // the last one used is the next: the others stay idle, as those of a client's pool do
	result Result
	took   []time.Duration
}

// kept asks over a connection that others used before.
func (g *generator) kept() (again bool, err error) {
	k := &keeper{g: g}
	g.mu.Lock()
	if n := len(g.idle); n > 0 {
		k, g.idle = g.idle[n-1], g.idle[:n-1]
	}
	g.mu.Unlock()
	again, err = k.ask()
	g.mu.Lock()
	defer g.mu.Unlock()
	g.idle = append(g.idle, k)
	return again, err
}

// close closes what was kept.
func (g *generator) close() {
	for _, k := range g.idle {
		if k.c != nil {
			k.c.Close()
		}
	}
}

// fresh asks over a connection of its own.
func (g *generator) fresh() (again bool, err error) {
	c, err := g.dial()
	if err != nil {
		return false, err
	}
	defer c.Close()
	_, err = c.ask(g.Path, "close")
	return false, err
}

// keeper asks over one connection as long as that lasts.
type keeper struct {
	g *generator
	c *conn
}

func (k *keeper) ask() (again bool, err error) {
	if k.c != nil {
		begun, err := k.try()
		if begun || err == nil || late(err) {
			return false, err
		}
		again = true // the server closed it, and hasn't begun to answer
	}
	if k.c, err = k.g.dial(); err != nil {
		k.c = nil
		return again, err
	}
	_, err = k.try()
	return again, err
}

// try asks over the connection that there is, and lets go of it where that failed, or the server doesn't keep it.
func (k *keeper) try() (begun bool, err error) {
	if err = k.c.SetDeadline(time.Now().Add(k.g.Timeout)); err == nil {
		begun, err = k.c.ask(k.g.Path, "keep-alive")
	}
	if err != nil || k.c.last {
		k.c.Close()
		k.c = nil
	}
	return begun, err
}

// conn is a connection to the server. last says that the server won't answer on it again.
type conn struct {
	net.Conn
	r    *bufio.Reader
	last bool
}

func (g *generator) dial() (*conn, error) {
	c, err := net.DialTimeout("tcp", g.Address, g.Timeout)
	if err != nil {
		return nil, err
	}
	if err := c.SetDeadline(time.Now().Add(g.Timeout)); err != nil {
		c.Close()
		return nil, err
	}
	return &conn{Conn: c, r: bufio.NewReader(c)}, nil
}

// errStatus says that the server answered, and not as it should.
var errStatus = errors.New("another status than 200")

// ask sends one request and reads the answer. begun tells whether any of that came.
func (c *conn) ask(path, connection string) (begun bool, err error) {
	if _, err := fmt.Fprintf(c, "GET %s HTTP/1.1\r\nHost: %s\r\nConnection: %s\r\n\r\n", path, c.RemoteAddr(), connection); err != nil {
		return false, err
	}
	if _, err := c.r.Peek(1); err != nil {
		return false, err
	}
	resp, err := http.ReadResponse(c.r, nil)
	if err != nil {
		return true, err
	}
	_, err = io.Copy(io.Discard, resp.Body)
	c.last = resp.Close
	if err == nil && resp.StatusCode != http.StatusOK {
		err = fmt.Errorf("%w: %s", errStatus, resp.Status)
	}
	return true, err
}

// note counts what became of a request.
func (g *generator) note(took time.Duration, again bool, err error) {
	g.mu.Lock()
	defer g.mu.Unlock()
	r := &g.result
	r.Sent++
	if again {
		r.Again++
	}
	if err != nil && !errors.Is(err, syscall.ECONNREFUSED) && r.Why == nil {
		r.Why = err
	}
	switch {
	case err == nil:
		r.Answered++
		g.took = append(g.took, took)
	case errors.Is(err, syscall.ECONNREFUSED):
		r.Refused++
	case late(err):
		r.Late++
	case errors.Is(err, io.EOF), errors.Is(err, io.ErrUnexpectedEOF), errors.Is(err, syscall.ECONNRESET), errors.Is(err, syscall.EPIPE):
		r.Cut++
	default:
		r.Other++
	}
}

// late tells whether it was the time that ended a request, in the dial or after it.
func late(err error) bool {
	n, ok := errors.AsType[net.Error](err)
	return ok && n.Timeout()
}

// times works out the times to the answers.
func (g *generator) times() {
	slices.Sort(g.took)
	if n := len(g.took); n > 0 {
		g.result.Median, g.result.P99, g.result.Longest = g.took[n/2], g.took[n*99/100], g.took[n-1]
	}
}
