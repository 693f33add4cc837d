package simhost

import (
	"context"
	"fmt"
	"net"
	"sync"
	"testing"
)

// Proxy is a way to a host on which things go wrong. Its methods may be called concurrently.
type Proxy struct {
	listener net.Listener
	dial     func(context.Context) (net.Conn, error)

	mu    sync.Mutex
	gate  chan struct{} // closed while bytes pass
	cutAt int64         // how many bytes may still go to the host before everything is cut; 0: any number
	conns map[net.Conn]bool
	wg    sync.WaitGroup
}

// StartProxy makes a way to an address that goes with the test.
func StartProxy(t testing.TB, to string) *Proxy {
	t.Helper()
	l, err := (&net.ListenConfig{}).Listen(t.Context(), "tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(fmt.Errorf("make a proxy: %w", err))
	}
	return StartProxyOn(t, l, func(ctx context.Context) (net.Conn, error) { return new(net.Dialer).DialContext(ctx, "tcp", to) })
}

// StartProxyOn makes a way that begins at a listener, which goes with the test too, and goes on with what dial connects to.
func StartProxyOn(t testing.TB, l net.Listener, dial func(context.Context) (net.Conn, error)) *Proxy {
	t.Helper()
	p := &Proxy{listener: l, dial: dial, gate: make(chan struct{}), conns: map[net.Conn]bool{}}
	close(p.gate)
	ctx, cancel := context.WithCancel(context.WithoutCancel(t.Context()))
	p.wg.Go(func() { p.accept(ctx) })
	t.Cleanup(func() {
		cancel()
		l.Close()
		p.Cut()
		p.wg.Wait()
	})
	return p
}

// Port is where the way begins, on 127.0.0.1.
func (p *Proxy) Port() int { return p.listener.Addr().(*net.TCPAddr).Port }

// Silence holds back whatever is sent, either way, while both ends think that they are connected; with false all of it is delivered.
func (p *Proxy) Silence(on bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	select {
	case <-p.gate:
		if on {
			p.gate = make(chan struct{})
		}
	default:
		if !on {
			close(p.gate)
		}
	}
}

// Cut ends what goes through now, for both ends.
func (p *Proxy) Cut() {
	p.mu.Lock()
	defer p.mu.Unlock()
	for c := range p.conns {
		c.Close()
	}
}

// CutAfter cuts what goes through, once, when so many more bytes have gone to the host.
func (p *Proxy) CutAfter(bytes int64) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.cutAt = bytes
}

// take counts n bytes that are to go to the host, and says how many of them may; with the last of those it is to be cut.
func (p *Proxy) take(n int) (may int, cut bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.cutAt == 0 {
		return n, false
	}
	may = int(min(int64(n), p.cutAt))
	p.cutAt -= int64(may)
	return may, p.cutAt == 0
}

func (p *Proxy) accept(ctx context.Context) {
	for {
		from, err := p.listener.Accept()
		if err != nil {
			return
		}
		p.wg.Go(func() {
			ctx, cancel := context.WithCancel(ctx)
			defer cancel()
			to, err := p.dial(ctx)
			if err != nil {
				from.Close()
				return
			}
			p.keep(from, to)
			join(&gated{Conn: from, proxy: p, done: ctx.Done()}, &toHost{gated{Conn: to, proxy: p, done: ctx.Done()}})
			p.forget(from, to)
		})
	}
}

func (p *Proxy) keep(conns ...net.Conn) {
	p.mu.Lock()
	defer p.mu.Unlock()
	for _, c := range conns {
		p.conns[c] = true
	}
}

func (p *Proxy) forget(conns ...net.Conn) {
	p.mu.Lock()
	defer p.mu.Unlock()
	for _, c := range conns {
		delete(p.conns, c)
	}
}

func (p *Proxy) open() <-chan struct{} {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.gate
}

// gated is a connection whose writes wait while the proxy is silent.
type gated struct {
	net.Conn
	proxy *Proxy
	done  <-chan struct{}
}

func (g *gated) Write(b []byte) (int, error) {
	select {
	case <-g.proxy.open():
	case <-g.done:
		return 0, net.ErrClosed
	}
	return g.Conn.Write(b)
}

// toHost is gated, and counts.
type toHost struct{ gated }

func (t *toHost) Write(b []byte) (int, error) {
	may, cut := t.proxy.take(len(b))
	n, err := t.gated.Write(b[:may])
	if cut {
		t.proxy.Cut()
		return n, net.ErrClosed
	}
	return n, err
}
