package remote

import (
	"encoding/binary"
	"errors"
	"fmt"
	"io"
)

// kind is what a frame is.
type kind byte

const (
	frameHello  kind = iota + 1 // from the controller, once: hello
	frameCall                   // from the controller: request
	frameCancel                 // from the controller: the call of that id is no longer waited for
	frameResult                 // from the agent: response, the last frame of its id
	frameData                   // from the agent: a part of an answer
	frameMore                   // a piece of the body of the call or result of that id, whose frame has the rest
	frameCredit                 // from the controller: so many more bytes of parts and pieces of that id may be sent; from the agent: a piece of a call has come, and another may be sent
	framePing                   // from the controller
	framePong                   // from the agent
	frameGive                   // from the controller: a part of what the call of that id takes; an empty one is its end
	frameRoom                   // from the agent: so many more bytes of those may be sent
	frameEnd                    // one more than the last
)

// frame is one message.
type frame struct {
	kind kind
	id   uint32
	body []byte
}

const (
	headerLen = 9
	// maxBody is the longest body of a call or a result, with all its pieces: more than the look at a few thousand daemons.
	maxBody = 16 << 20
	// window is how many bytes of parts, or of pieces, may be under way to a reader, so also what a far side that floods can fill, and what a sign of life may have to wait for.
	window = 512 << 10
	// maxPart is the longest body of a frame. What is longer is sent in pieces, so that others come in between.
	maxPart = 32 << 10
)

// errFrame marks bytes that are no frame.
var errFrame = errors.New("this is no frame")

// encode is the frame as it travels: the length of the body, the kind, the id, the body; numbers are big-endian.
func (f frame) encode() []byte {
	b := make([]byte, headerLen, headerLen+len(f.body))
	binary.BigEndian.PutUint32(b, uint32(len(f.body)))
	b[4] = byte(f.kind)
	binary.BigEndian.PutUint32(b[5:], f.id)
	return append(b, f.body...)
}

// readFrame reads one frame. An end between two frames is io.EOF, one within a frame io.ErrUnexpectedEOF.
func readFrame(r io.Reader) (frame, error) {
	var h [headerLen]byte
	if _, err := io.ReadFull(r, h[:]); err != nil {
		return frame{}, err
	}
	f := frame{kind: kind(h[4]), id: binary.BigEndian.Uint32(h[5:])}
	n := binary.BigEndian.Uint32(h[:4])
	switch {
	case f.kind == 0 || f.kind >= frameEnd:
		return frame{}, fmt.Errorf("read a frame of kind %d: %w", f.kind, errFrame)
	case n > maxPart:
		return frame{}, fmt.Errorf("read a frame of %d bytes, where %d are the most: %w", n, maxPart, errFrame)
	}
	f.body = make([]byte, n)
	_, err := io.ReadFull(r, f.body)
	return f, inside(err)
}

// inside makes the end of the stream one within a frame.
func inside(err error) error {
	if errors.Is(err, io.EOF) {
		return io.ErrUnexpectedEOF
	}
	return err
}
