package drivers_test

import (
	"bytes"
	"context"
	"errors"
	"io"
	"testing"

	"reconciler.dev/reconciler/pkg/drivers"
	"reconciler.dev/reconciler/pkg/spec"
)

// shelf is a host that keeps one program.
type shelf struct {
	drivers.Host
	have     []byte
	asked    func() // before each Store
	received int
}

func (s *shelf) Stored(context.Context, string) (int64, bool, error) {
	return int64(len(s.have)), string(s.have) == content, nil
}

func (s *shelf) Store(_ context.Context, _ string, _, offset int64, r io.Reader) error {
	if s.asked != nil {
		s.asked()
	}
	if offset != int64(len(s.have)) {
		return drivers.ErrMoved
	}
	b, err := io.ReadAll(r)
	s.have, s.received = append(s.have, b...), s.received+len(b)
	return err
}

const content = "a program of many bytes"

type closing struct{ *bytes.Reader }

func (closing) Close() error { return nil }

func aProgram() *spec.Program {
	return &spec.Program{Digest: "sha256:x", Size: int64(len(content)), Open: func() (io.ReadSeekCloser, error) { return closing{bytes.NewReader([]byte(content))}, nil }}
}

func TestSendProgramGoesOnWhereTheHostStands(t *testing.T) {
	for _, tt := range []struct {
		name  string
		have  int
		bytes int
	}{{"from the beginning", 0, len(content)}, {"after a cut", 10, len(content) - 10}, {"where it is whole already", len(content), 0}} {
		t.Run(tt.name, func(t *testing.T) {
			s := &shelf{have: []byte(content[:tt.have])}
			if err := drivers.SendProgram(t.Context(), s, aProgram()); err != nil {
				t.Fatal(err)
			}
			if string(s.have) != content || s.received != tt.bytes {
				t.Errorf("the host has %q after %d bytes, want %d", s.have, s.received, tt.bytes)
			}
		})
	}
}

func TestSendProgramWhileSomebodyElseDoes(t *testing.T) {
	s := &shelf{}
	s.asked = func() { s.asked, s.have = nil, []byte(content[:7]) }
	if err := drivers.SendProgram(t.Context(), s, aProgram()); err != nil || string(s.have) != content {
		t.Errorf("%v, and the host has %q", err, s.have)
	}
	s = &shelf{}
	s.asked = func() { s.have = append(s.have, 'x') }
	if err := drivers.SendProgram(t.Context(), s, aProgram()); !errors.Is(err, drivers.ErrMoved) {
		t.Errorf("a host that always moves on: %v", err)
	}
}
