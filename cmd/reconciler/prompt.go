package main

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"os"
	"runtime"
	"strings"

	"golang.org/x/term"
)

// asker is whoever can be asked; *person is one.
type asker interface {
	secret(ctx context.Context, prompt string) (string, error)
	confirm(ctx context.Context, question string) (bool, error)
}

// person is somebody at a terminal, who can be asked. What they are asked is on the terminal itself, and not on stdin and stdout, which may be files.
type person struct {
	in, out *os.File
}

// atTerminal returns who sits at the terminal that this program runs in; nil where there is none.
func atTerminal() asker {
	in, out := "/dev/tty", "/dev/tty"
	if runtime.GOOS == "windows" {
		in, out = "CONIN$", "CONOUT$"
	}
	p := &person{}
	var err error
	if p.in, err = os.OpenFile(in, os.O_RDWR, 0); err != nil {
		return nil
	}
	if p.out, err = os.OpenFile(out, os.O_RDWR, 0); err != nil || !term.IsTerminal(int(p.in.Fd())) {
		_ = p.in.Close() // only read from
		return nil
	}
	return p
}

// secret asks for a secret, which isn't shown as it is typed.
func (p *person) secret(ctx context.Context, prompt string) (string, error) {
	return p.typed(ctx, prompt, func() (string, error) {
		b, err := term.ReadPassword(int(p.in.Fd()))
		fmt.Fprintln(p.out)
		return string(b), err
	})
}

// confirm asks for a yes.
func (p *person) confirm(ctx context.Context, question string) (bool, error) {
	for {
		said, err := p.typed(ctx, question+" (yes/no) ", func() (string, error) { return bufio.NewReader(p.in).ReadString('\n') })
		switch strings.ToLower(strings.TrimSpace(said)) {
		case "yes", "y":
			return true, err
		case "no", "n":
			return false, err
		}
		if err != nil {
			return false, err
		}
	}
}

// typed shows a prompt and returns what read reads, or ctx's end; then the terminal is as it was.
func (p *person) typed(ctx context.Context, prompt string, read func() (string, error)) (string, error) {
	before, err := term.GetState(int(p.in.Fd()))
	if err != nil {
		return "", fmt.Errorf("ask on the terminal: %w", err)
	}
	fmt.Fprint(p.out, cleanLines(prompt))
	type answer struct {
		text string
		err  error
	}
	said := make(chan answer, 1)
	go func() {
		text, err := read()
		said <- answer{text, err}
	}()
	select {
	case a := <-said:
		if a.err != nil {
			return "", fmt.Errorf("ask on the terminal: %w", a.err)
		}
		return a.text, nil
	case <-ctx.Done():
		return "", errors.Join(context.Cause(ctx), term.Restore(int(p.in.Fd()), before))
	}
}
