package main

import (
	"io"
	"os"
	"strconv"
	"strings"

	"golang.org/x/term"
)

// tty is a terminal that is drawn on as a whole.
type tty struct {
	in, out *os.File
	colour  bool
	last    []string // what stands there
	size    [2]int
}

// tty returns the terminal that this program has for its input and output; nil where either is none.
func (c *cli) tty() *tty {
	in, ok := c.in.(*os.File)
	out, ok2 := c.out.(*os.File)
	if !ok || !ok2 || !term.IsTerminal(int(in.Fd())) || !term.IsTerminal(int(out.Fd())) || c.getenv("TERM") == "dumb" {
		return nil
	}
	return &tty{in: in, out: out, colour: c.colour()}
}

// enter takes the terminal over: keys come as they are pressed, and the other screen is shown. leave gives it back as it was.
func (s *tty) enter() (leave func() error, err error) {
	was, err := term.MakeRaw(int(s.in.Fd()))
	if err != nil {
		return nil, err
	}
	_, _ = io.WriteString(s.out, "\x1b[?1049h\x1b[?25l") // whether it can be written is found out by the first picture
	return func() error {
		_, err := io.WriteString(s.out, "\x1b[?25h\x1b[?1049l")
		if rerr := term.Restore(int(s.in.Fd()), was); rerr != nil {
			return rerr
		}
		return err
	}, nil
}

// keys calls pressed with the name of each key, until that returns false or the terminal is gone.
func (s *tty) keys(pressed func(key string) bool) {
	var buf [256]byte
	for {
		n, err := s.in.Read(buf[:])
		if err != nil {
			pressed("ctrl-c")
			return
		}
		for _, key := range keysIn(string(buf[:n])) {
			if !pressed(key) {
				return
			}
		}
	}
}

// draw brings the terminal up to date in one write: lines that stand there already aren't sent again.
func (s *tty) draw(v *topView) error {
	width, height, err := term.GetSize(int(s.out.Fd()))
	if err != nil || width < 20 || height < 4 {
		width, height = 80, 24
	}
	_, err = io.WriteString(s.out, s.update(v.draw(width, height, s.colour), width, height))
	return err
}

// update is what has to be written to make lines of what stands there.
func (s *tty) update(lines []string, width, height int) string {
	var b strings.Builder
	if size := [2]int{width, height}; size != s.size {
		s.size, s.last = size, nil
		b.WriteString("\x1b[2J")
	}
	for i, line := range lines {
		if i >= len(s.last) || s.last[i] != line {
			b.WriteString(position(i) + "\x1b[K" + line)
		}
	}
	for i := len(lines); i < len(s.last); i++ {
		b.WriteString(position(i) + "\x1b[K")
	}
	s.last = lines
	return b.String()
}

func position(line int) string { return "\x1b[" + strconv.Itoa(line+1) + ";1H" }
