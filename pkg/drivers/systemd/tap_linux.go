package systemd

import (
	"bufio"
	"bytes"
	"encoding/binary"
	"errors"
	"io"
	"net"
	"os"
	"slices"
	"strings"
	"time"
)

// tap is a connection that takes out of what the manager sends what nobody wants to know. On its private socket a manager tells everybody everything, a dozen signals for each start
// of a unit, and to decode them costs more than all else that a start of many daemons takes here.
//
// Of the property changes of a service, each of which has all properties, only the last before a job of that ends is passed on; where nobody waits for one, the first and the last of a
// short while. However much else the manager has to say, none waits for longer than that.
type tap struct {
	net.Conn
	in *bufio.Reader
	// hold tells how long a property change of an object may wait for the next one, 0 where nobody wants to hear of it, and whether the first in that time goes on at once.
	hold func(path string) (d time.Duration, firstAtOnce bool)
	// begun is set by the last line of the greeting; before it there are no messages.
	begun bool
	ready bytes.Buffer
	held  map[string]*heldChanges // by the path of their object
	// due is the first end of a wait, zero where nothing is held.
	due time.Time
}

// heldChanges are the last property changes of an object, one of each interface.
type heldChanges struct {
	until time.Time
	// atOnce says that they go on as soon as they are complete.
	atOnce bool
	of     []heldChange
}

type heldChange struct {
	iface   string
	message []byte
}

func newTap(c net.Conn, hold func(string) (time.Duration, bool)) *tap {
	return &tap{Conn: c, in: bufio.NewReaderSize(c, 64<<10), hold: hold, held: map[string]*heldChanges{}}
}

// Write notices the end of the greeting.
func (t *tap) Write(p []byte) (int, error) {
	if !t.begun && string(p) == "BEGIN\r\n" {
		t.begun = true // whoever reads messages is started after this
	}
	return t.Conn.Write(p)
}

// Read is called by one goroutine at a time.
func (t *tap) Read(p []byte) (int, error) {
	if !t.begun {
		return t.in.Read(p)
	}
	for t.ready.Len() == 0 {
		if err := t.fill(); err != nil {
			return 0, err
		}
	}
	return t.ready.Read(p)
}

// fill reads one message, or passes on what has waited for long enough.
func (t *tap) fill() error {
	if !t.due.IsZero() {
		if now := time.Now(); !now.Before(t.due) {
			t.releaseDue(now)
			return nil
		}
		if t.in.Buffered() == 0 {
			if late, err := t.quietUntil(t.due); late || err != nil {
				return err
			}
		}
	}
	head, err := t.in.Peek(headLen)
	if err != nil {
		return err
	}
	n, err := messageLen(head)
	if err != nil {
		return err
	}
	m := make([]byte, n)
	if _, err := io.ReadFull(t.in, m); err != nil {
		return err
	}
	t.take(m)
	return nil
}

// quietUntil waits for something to read, and tells whether nothing came until then.
func (t *tap) quietUntil(then time.Time) (bool, error) {
	if err := t.SetReadDeadline(then); err != nil {
		return false, err
	}
	_, err := t.in.Peek(1)
	late := errors.Is(err, os.ErrDeadlineExceeded)
	return late, t.SetReadDeadline(time.Time{})
}

// take decides what becomes of a message.
func (t *tap) take(m []byte) {
	s, ok := parseSignal(m)
	switch {
	case !ok:
		t.ready.Write(m)
	case s.member == "PropertiesChanged":
		if strings.HasSuffix(s.path, "_2eservice") {
			t.keep(s.path, heldChange{s.first, m})
		}
	case s.member == "JobRemoved":
		path := string(unitPath(s.unit))
		if d, _ := t.hold(path); d == 0 {
			return
		}
		t.release(path)
		t.ready.Write(m)
	case s.member == "JobNew" || s.member == "UnitNew" || s.member == "UnitRemoved":
	default:
		t.ready.Write(m)
	}
}

// keep holds a property change, instead of the one before of that interface. What is true of every unit the manager tells last.
func (t *tap) keep(path string, c heldChange) {
	hold, atOnce := t.hold(path)
	if hold == 0 {
		return
	}
	h := t.held[path]
	if h == nil {
		h = &heldChanges{until: time.Now().Add(hold), atOnce: atOnce}
		t.held[path] = h
		if t.due.IsZero() || h.until.Before(t.due) {
			t.due = h.until
		}
	}
	h.of = append(slices.DeleteFunc(h.of, func(old heldChange) bool { return old.iface == c.iface }), c)
	if h.atOnce && c.iface == unitInterface {
		t.pass(h)
		h.atOnce = false // what comes next is held
	}
}

// pass passes on what is held of an object.
func (t *tap) pass(h *heldChanges) {
	for _, c := range h.of {
		t.ready.Write(c.message)
	}
	h.of = nil
}

// release passes on what is held of an object, and holds it no more.
func (t *tap) release(path string) {
	if h := t.held[path]; h != nil {
		t.pass(h)
		delete(t.held, path)
	}
}

// releaseDue passes on what has waited until now.
func (t *tap) releaseDue(now time.Time) {
	t.due = time.Time{}
	for path, h := range t.held {
		switch {
		case !now.Before(h.until):
			t.release(path)
		case t.due.IsZero() || h.until.Before(t.due):
			t.due = h.until
		}
	}
}

// What a message begins with: D-Bus Specification, "Message Format".
const (
	headLen    = 16
	typeSignal = 4
	maxMessage = 128 << 20
)

// errNoMessage is what something else than a message comes to.
var errNoMessage = errors.New("the service manager sent something that is no message of D-Bus")

// messageLen is the length of the message that begins so.
func messageLen(head []byte) (int, error) {
	order := orderOf(head[0])
	if order == nil {
		return 0, errNoMessage
	}
	n := int64(headLen) + (int64(order.Uint32(head[12:]))+7)&^7 + int64(order.Uint32(head[4:]))
	if n > maxMessage {
		return 0, errNoMessage
	}
	return int(n), nil
}

func orderOf(mark byte) binary.ByteOrder {
	switch mark {
	case 'l':
		return binary.LittleEndian
	case 'B':
		return binary.BigEndian
	default:
		return nil
	}
}

// signal is what of a signal tells whether anybody wants it.
type signal struct {
	path, member string
	// first is the first value of a PropertiesChanged, the interface; unit the third of a JobRemoved.
	first, unit string
}

// parseSignal takes a whole message apart as far as that goes; ok is false for one that isn't a signal, or is one in a form of its own.
func parseSignal(m []byte) (s signal, ok bool) {
	if m[1] != typeSignal {
		return s, false
	}
	c := cursor{m: m, at: 12, order: orderOf(m[0])}
	end := c.uint32() + headLen
	for c.at < end && !c.bad {
		c.align(8)
		field := c.byte()
		switch kind := c.signature(); kind {
		case "s", "o":
			switch v := c.string(); field {
			case 1:
				s.path = v
			case 3:
				s.member = v
			}
		case "g":
			c.signature()
		case "u":
			c.uint32()
		default:
			return s, false
		}
	}
	c.align(8)
	switch s.member {
	case "PropertiesChanged":
		s.first = c.string()
	case "JobRemoved":
		c.uint32()
		c.string()
		s.unit = c.string()
	}
	return s, !c.bad
}

// cursor reads values of a message: D-Bus Specification, "Marshaling". It is bad once something was read that isn't there.
type cursor struct {
	m     []byte
	at    int
	order binary.ByteOrder
	bad   bool
}

func (c *cursor) align(n int) { c.at = (c.at + n - 1) / n * n }

// next returns n bytes.
func (c *cursor) next(n int) []byte {
	if c.bad || n < 0 || c.at+n > len(c.m) || c.at+n < c.at {
		c.bad = true
		return nil
	}
	b := c.m[c.at : c.at+n]
	c.at += n
	return b
}

func (c *cursor) byte() byte {
	if b := c.next(1); b != nil {
		return b[0]
	}
	return 0
}

func (c *cursor) uint32() int {
	c.align(4)
	if b := c.next(4); b != nil {
		return int(c.order.Uint32(b))
	}
	return 0
}

func (c *cursor) string() string {
	b := c.next(c.uint32())
	c.next(1)
	return string(b)
}

func (c *cursor) signature() string {
	b := c.next(int(c.byte()))
	c.next(1)
	return string(b)
}
