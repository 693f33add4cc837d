package main

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"strings"
	"time"

	"golang.org/x/sys/unix"

	"reconciler.dev/reconciler/test/labhost"
)

// connected is a `reconciler run` that keeps the hosts of a site over links that stay.
type connected struct {
	cmd   *exec.Cmd
	lines chan said
	seen  []string // the last of what it said, for who has to find out why it says no more
}

// said is a line, and when it was there to be read.
type said struct {
	text string
	at   time.Time
}

// connect starts a run and waits until it has every daemon in its eyes.
func (s *site) connect(ctx context.Context) (*connected, error) {
	r := &connected{cmd: s.command(ctx, s.b.reconciler, "run", "-f", s.manifests, "--resync", "1h"), lines: make(chan said, 4096)}
	out, err := r.cmd.StdoutPipe()
	if err != nil {
		return nil, err
	}
	r.cmd.Stderr = os.Stderr
	if err := r.cmd.Start(); err != nil {
		return nil, fmt.Errorf("reconciler run: %w", err)
	}
	go r.listen(out)
	_, err = r.hears(ctx, " keep: ")
	for end := time.Now().Add(time.Minute); err == nil && time.Now().Before(end); {
		if _, err = r.pass(ctx, len(s.hosts)*len(s.names), len(s.hosts)); err == nil {
			return r, nil
		}
		if errors.Is(err, errOther) { // what isn't reached yet isn't looked at
			err = pause(ctx, between)
		}
	}
	return nil, errors.Join(err, r.end())
}

// listen reads what the run says until it ends.
func (r *connected) listen(out io.Reader) {
	lines := bufio.NewScanner(out)
	for lines.Scan() {
		r.lines <- said{lines.Text(), time.Now()}
	}
	close(r.lines)
}

// errOther is what a run said instead of what was waited for.
var errOther = errors.New("it says something else")

// hears waits for a line with all of words in it. One with all but the last is another answer to the same question.
func (r *connected) hears(ctx context.Context, words ...string) (time.Time, error) {
	ctx, cancel := context.WithTimeout(ctx, 10*time.Second)
	defer cancel()
	for {
		select {
		case l, more := <-r.lines:
			if !more {
				return l.at, fmt.Errorf("the run ended: %s", strings.Join(r.seen, "\n"))
			}
			r.seen = append(r.seen[max(0, len(r.seen)-20):], l.text)
			n := 0
			for n < len(words) && strings.Contains(l.text, words[n]) {
				n++
			}
			switch {
			case n == len(words):
				return l.at, nil
			case n > 0 && n == len(words)-1:
				return l.at, fmt.Errorf("%w: %s", errOther, l.text)
			}
		case <-ctx.Done():
			return time.Time{}, fmt.Errorf("the run never says %q: %w\n%s", words, ctx.Err(), strings.Join(r.seen, "\n"))
		}
	}
}

// pass has the run look at everything, and returns what it took from the signal to its word that it has.
func (r *connected) pass(ctx context.Context, daemons, hosts int) (time.Duration, error) {
	t0 := time.Now()
	if err := r.cmd.Process.Signal(unix.SIGUSR1); err != nil {
		return 0, fmt.Errorf("signal the run: %w", err)
	}
	at, err := r.hears(ctx, " looked: ", fmt.Sprintf("at %d daemons on %d hosts,", daemons, hosts))
	return at.Sub(t0), err
}

// exit kills a daemon of a host, and returns what it took until the run said so.
func (r *connected) exit(ctx context.Context, h *labhost.Host, name string) (time.Duration, error) {
	all, err := h.Processes()
	if err != nil {
		return 0, err
	}
	for _, p := range all {
		if len(p.Args) != 3 || p.Args[2] != name {
			continue
		}
		t0 := time.Now()
		if err := h.Signal(p, unix.SIGKILL); err != nil {
			return 0, err
		}
		at, err := r.hears(ctx, " "+h.Name+": daemon/"+name+": exited: ")
		return at.Sub(t0), err
	}
	return 0, fmt.Errorf("kill %s on %s: it doesn't run", name, h.Name)
}

// end ends the run as ^C does. The daemons stay.
func (r *connected) end() error {
	if err := r.cmd.Process.Signal(os.Interrupt); err != nil && !errors.Is(err, os.ErrProcessDone) {
		return fmt.Errorf("end the run: %w", err)
	}
	for range r.lines { // until it has nothing more to say
		continue
	}
	return r.cmd.Wait()
}
