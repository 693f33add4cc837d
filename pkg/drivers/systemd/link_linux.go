package systemd

import (
	"context"
	"errors"
	"fmt"
	"net"
	"strconv"
	"sync"
	"sync/atomic"
	"time"

	sd "github.com/coreos/go-systemd/v22/dbus"
	"github.com/godbus/dbus/v5"

	"reconciler.dev/reconciler/pkg/drivers"
)

const (
	managerPath      = dbus.ObjectPath("/org/freedesktop/systemd1")
	destination      = "org.freedesktop.systemd1"
	managerInterface = "org.freedesktop.systemd1.Manager"
	propertiesChange = "org.freedesktop.DBus.Properties.PropertiesChanged"
	// answerLimit is how long the manager may take to answer. It answers nobody while it reloads, which takes it a second with a thousand units.
	answerLimit = 30 * time.Second
)

// link is one connection to a service manager: org.freedesktop.systemd1(5). Calls go out side by side, and what it tells of its own accord is heard in its order.
//
// It is not go-systemd's Conn, which opens two connections and so has PID 1 send everything it tells twice, sends one job at a time, and leaves those who
// wait for a job waiting for ever when the connection ends.
type link struct {
	conn    *dbus.Conn
	manager dbus.BusObject
	// calls counts what the manager was asked.
	calls atomic.Int64

	mu    sync.Mutex
	waits map[dbus.ObjectPath][]*wait
	ears  map[*ear]bool
	lost  bool
}

// ear hears everything that the manager tells, until its channel is closed: the connection is lost then. hear must not block.
type ear struct {
	hear func(*dbus.Signal)
	gone chan struct{}
}

// dial connects to the manager.
func dial(ctx context.Context, s *scope) (*link, error) {
	l, err := dialSocket(ctx, s.private, false)
	if err == nil {
		return l, nil
	}
	l, busErr := dialSocket(ctx, s.bus, true)
	if busErr == nil {
		return l, nil
	}
	return nil, fmt.Errorf("connect to the service manager: %w, and %w: %w", err, busErr, drivers.ErrUnreachable)
}

// dialSocket connects through a socket.
func dialSocket(ctx context.Context, path string, isBus bool) (*link, error) {
	var d net.Dialer
	c, err := d.DialContext(ctx, "unix", path)
	if err != nil {
		return nil, err
	}
	l := &link{waits: map[dbus.ObjectPath][]*wait{}, ears: map[*ear]bool{}}
	if l.conn, err = dbus.NewConn(newTap(c, l.hold), dbus.WithSignalHandler(dbus.NewSequentialSignalHandler())); err != nil {
		c.Close()
		return nil, fmt.Errorf("%s: %w", path, err)
	}
	l.manager = l.conn.Object(destination, managerPath)
	signals := make(chan *dbus.Signal, 64)
	l.conn.Signal(signals)
	go l.listen(signals)
	if err := l.greet(ctx, isBus); err != nil {
		l.conn.Close()
		return nil, fmt.Errorf("%s: %w", path, err)
	}
	return l, nil
}

// How long a property change may be held, where we wait for a job of the unit, whose end releases it, and where somebody only listens. Who listens hears of a first change at once.
const (
	holdForJob = 100 * time.Millisecond
	holdForEar = 10 * time.Millisecond
)

// hold tells how long a property change of an object may wait for another one, 0 where nobody wants to hear of it, and whether the first in that time goes on at once.
func (l *link) hold(path string) (d time.Duration, firstAtOnce bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	switch {
	case l.waits[dbus.ObjectPath(path)] != nil:
		return holdForJob, false
	case len(l.ears) > 0:
		return holdForEar, true
	default:
		return 0, false
	}
}

// greet says who we are, within the time that an answer may take, and asks to be told what happens. A private socket tells that unasked.
func (l *link) greet(ctx context.Context, isBus bool) error {
	limited, cancel := context.WithTimeout(ctx, answerLimit)
	defer cancel()
	stop := context.AfterFunc(limited, func() { l.conn.Close() })
	defer stop()
	err := l.conn.Auth([]dbus.Auth{dbus.AuthExternal("")}) // the manager asks the kernel who we are
	switch {
	case err != nil:
	case isBus:
		err = l.subscribe(limited)
	default:
		err = l.nudge(limited)
	}
	if !stop() {
		return limited.Err()
	}
	return err
}

// nudge waits for a first answer. Where the first message comes so close behind the end of the greeting that the manager reads both at once, it doesn't look at
// the message before another one comes (sd-bus, bus_socket_read_auth); so another one comes.
func (l *link) nudge(ctx context.Context) error {
	again := time.NewTicker(5 * time.Millisecond)
	defer again.Stop()
	answers := make(chan *dbus.Call, 16)
	for range cap(answers) {
		l.manager.GoWithContext(ctx, "org.freedesktop.DBus.Peer.Ping", 0, answers)
		select {
		case c := <-answers:
			return c.Err
		case <-again.C:
		case <-ctx.Done():
			return ctx.Err()
		}
	}
	select {
	case c := <-answers:
		return c.Err
	case <-ctx.Done():
		return ctx.Err()
	}
}

// subscribe asks a bus for what the manager tells.
func (l *link) subscribe(ctx context.Context) error {
	if err := l.conn.Hello(); err != nil {
		return err
	}
	if err := l.conn.AddMatchSignalContext(ctx, dbus.WithMatchSender(destination)); err != nil {
		return err
	}
	return l.call(ctx, "Subscribe").Store()
}

// listen deals with what the manager tells until the connection ends.
func (l *link) listen(signals <-chan *dbus.Signal) {
	for s := range signals {
		l.heard(s)
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	l.lost = true
	for _, all := range l.waits {
		for _, w := range all {
			close(w.gone)
		}
	}
	for e := range l.ears {
		close(e.gone)
	}
	clear(l.waits)
	clear(l.ears)
}

func (l *link) heard(s *dbus.Signal) {
	l.mu.Lock()
	defer l.mu.Unlock()
	for e := range l.ears {
		e.hear(s)
	}
	switch s.Name {
	case managerInterface + ".JobRemoved":
		var id uint32
		var job dbus.ObjectPath
		var unit, result string
		if dbus.Store(s.Body, &id, &job, &unit, &result) == nil {
			for _, w := range l.waits[unitPath(unit)] {
				w.ended(job, result)
			}
		}
	case propertiesChange:
		for _, w := range l.waits[s.Path] {
			w.changed(s.Body)
		}
	}
}

// attach has e hear from now on.
func (l *link) attach(e *ear) error {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.lost {
		return errLost
	}
	l.ears[e] = true
	return nil
}

func (l *link) detach(e *ear) {
	l.mu.Lock()
	defer l.mu.Unlock()
	delete(l.ears, e)
}

func (l *link) close() { l.conn.Close() }

// answer is what a call came to.
type answer struct {
	call *dbus.Call
	err  error
}

// Store stores the values of the answer.
func (a answer) Store(to ...any) error {
	if a.err != nil {
		return a.err
	}
	return a.call.Store(to...)
}

// call calls a method of the manager.
func (l *link) call(ctx context.Context, method string, args ...any) answer {
	return l.callOn(ctx, l.manager, managerInterface+"."+method, args...)
}

func (l *link) callOn(ctx context.Context, o dbus.BusObject, method string, args ...any) answer {
	l.calls.Add(1)
	limited, cancel := context.WithTimeout(ctx, answerLimit)
	defer cancel()
	c := o.CallWithContext(limited, method, 0, args...)
	return answer{c, l.explain(ctx, c.Err)}
}

// errLost is what a broken connection comes to.
var errLost = fmt.Errorf("the connection to the service manager broke: %w", drivers.ErrUnreachable)

// explain tells a manager that doesn't answer from one that says no.
func (l *link) explain(ctx context.Context, err error) error {
	var said dbus.Error
	switch {
	case err == nil:
		return nil
	case ctx.Err() != nil:
		return ctx.Err()
	case errors.As(err, &said):
		switch said.Name {
		case "org.freedesktop.DBus.Error.NoReply", "org.freedesktop.DBus.Error.Disconnected", "org.freedesktop.DBus.Error.ServiceUnknown":
			return fmt.Errorf("%w: %w", err, drivers.ErrUnreachable)
		}
		return err
	case errors.Is(err, context.DeadlineExceeded):
		return fmt.Errorf("the service manager hasn't answered for %v: %w", answerLimit, drivers.ErrUnreachable)
	default:
		return fmt.Errorf("%w (%w)", errLost, err)
	}
}

// said tells whether err is the manager's answer of that name, as in NoSuchUnit.
func said(err error, name string) bool {
	var e dbus.Error
	return errors.As(err, &e) && (e.Name == "org.freedesktop.systemd1."+name || e.Name == "org.freedesktop.DBus.Error."+name)
}

// unitPath is the object that stands for a unit.
func unitPath(unit string) dbus.ObjectPath {
	return managerPath + "/unit/" + dbus.ObjectPath(sd.PathBusEscape(unit))
}

// unitNamed is the unit that an object stands for, empty where it is none.
func unitNamed(path dbus.ObjectPath) string {
	const prefix = string(managerPath) + "/unit/"
	p := string(path)
	if len(p) <= len(prefix) || p[:len(prefix)] != prefix {
		return ""
	}
	p = p[len(prefix):]
	name := make([]byte, 0, len(p))
	for i := 0; i < len(p); i++ {
		if p[i] == '_' && i+2 < len(p) {
			if n, err := strconv.ParseUint(p[i+1:i+3], 16, 8); err == nil {
				name = append(name, byte(n))
				i += 2
				continue
			}
		}
		name = append(name, p[i])
	}
	return string(name)
}
