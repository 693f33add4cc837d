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
// Of the property changes of a service, each of which has all properties, only the last before a job of that ends is passed on, or the last of a short while.
type tap struct {
	net.Conn
	in *bufio.Reader
	// wanted tells whether anybody wants to hear of an object.
	wanted func(path string) bool
	// begun is set by the last line of the greeting; before it there are no messages.
	begun bool
	ready bytes.Buffer
	held  []heldSignal
}

// heldSignal is a property change that may become outdated.
type heldSignal struct {
	path, iface string
	message     []byte
}

// holdTime is how long a property change waits for another one of the same object.
const holdTime = 10 * time.Millisecond

func newTap(c net.Conn, wanted func(string) bool) *tap {
	return &tap{Conn: c, in: bufio.NewReaderSize(c, 64<<10), wanted: wanted}
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

// fill reads one message, or waits no longer for those that would outdate what is held.
func (t *tap) fill() error {
	if len(t.held) > 0 && t.in.Buffered() == 0 {
		if err := t.SetReadDeadline(time.Now().Add(holdTime)); err != nil {
			return err
		}
		_, err := t.in.Peek(1)
		if err := t.SetReadDeadline(time.Time{}); err != nil {
			return err
		}
		if errors.Is(err, os.ErrDeadlineExceeded) {
			t.release(func(heldSignal) bool { return true })
			return nil
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

// take decides what becomes of a message.
func (t *tap) take(m []byte) {
	s, ok := parseSignal(m)
	switch {
	case !ok:
		t.ready.Write(m)
	case s.member == "PropertiesChanged":
		if !strings.HasSuffix(s.path, "_2eservice") || !t.wanted(s.path) {
			return
		}
		t.held = slices.DeleteFunc(t.held, func(h heldSignal) bool { return h.path == s.path && h.iface == s.first })
		t.held = append(t.held, heldSignal{s.path, s.first, m})
	case s.member == "JobRemoved":
		path := string(unitPath(s.unit))
		if !t.wanted(path) {
			return
		}
		t.release(func(h heldSignal) bool { return h.path == path })
		t.ready.Write(m)
	case s.member == "JobNew" || s.member == "UnitNew" || s.member == "UnitRemoved":
	default:
		t.ready.Write(m)
	}
}

// release passes on what is held and fits.
func (t *tap) release(fits func(heldSignal) bool) {
	t.held = slices.DeleteFunc(t.held, func(h heldSignal) bool {
		if !fits(h) {
			return false
		}
		t.ready.Write(h.message)
		return true
	})
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
