package bootstrap_test

import (
	"bytes"
	"context"
	"errors"
	"io"
	"strings"
	"sync"
	"testing"
	"time"
	"unicode"

	"reconciler.dev/reconciler/pkg/drivers"
	"reconciler.dev/reconciler/pkg/remote/bootstrap"
	"reconciler.dev/reconciler/pkg/remote/link"
)

// liar is a host that says what it likes, whatever it is asked for.
type liar struct {
	says   []byte
	stderr string
	status int
	asked  int
}

func (l *liar) Open(context.Context, string) (link.Stream, error) {
	l.asked++
	return &lie{liar: l, said: bytes.NewReader(l.says)}, nil
}

type lie struct {
	*liar
	mu   sync.Mutex
	said *bytes.Reader
}

func (l *lie) Read(b []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.said.Read(b)
}
func (l *lie) Write(b []byte) (int, error) { return len(b), nil }
func (l *lie) CloseWrite() error           { return nil }
func (l *lie) Stderr() string              { return l.stderr }
func (l *lie) Close() error                { return nil }
func (l *lie) Wait() error {
	if l.status == 0 {
		return nil
	}
	return &link.ExitError{Status: l.status}
}

// FuzzHost: whatever a host says, the search for its agent ends, with an error that a terminal may show, after a bounded number of commands.
func FuzzHost(f *testing.F) {
	const begin = "\nreconciler-agent begin\n"
	for _, s := range []string{
		"", begin, begin + "reconciler-agent end\n", "Welcome\x1b[2J" + begin + "reconciler-agent system Linux x86_64\nreconciler-agent folder /x\nreconciler-agent end\n",
		begin + "reconciler-agent system \x1b]0;x\a ../../etc\nreconciler-agent end\n",
		begin + "reconciler-agent system Linux x86_64\nreconciler-agent have 99999999999\nreconciler-agent short 1 no\nreconciler-agent end\n",
		begin + "reconciler-agent system Linux x86_64\nreconciler-agent have 0\nreconciler-agent installed 126 \x1b[31m\u202ered\nreconciler-agent end\n",
		begin + "reconciler-agent system Linux x86_64\nreconciler-agent part 1 2 3\nreconciler-agent part 1 4294967295 0\nreconciler-agent free 1 2 3%\nreconciler-agent end\n",
		begin + "reconciler-agent user root\nreconciler-agent sudo\nreconciler-agent file /x\nreconciler-agent sum 1 2\nreconciler-agent head 7f 45 4c 46\nreconciler-agent end\n",
		strings.Repeat("x", 40_000) + begin,
	} {
		f.Add([]byte(s), "stderr \x1b[0m", 1, false)
		f.Add([]byte(s), "", 0, true)
	}
	f.Fuzz(func(t *testing.T, says []byte, stderr string, status int, sudo bool) {
		for _, policy := range []bootstrap.Policy{bootstrap.Auto, bootstrap.Never} {
			host := &liar{says: says, stderr: stderr, status: status}
			opts := bootstrap.Options{Host: "h", Patience: time.Second, Install: policy, Sudo: sudo, Binaries: bootstrap.NewBinaries("/bin/sh", "")}
			err := bootstrap.Agent(t.Context(), host, opts, func(_ context.Context, s link.Stream) error {
				if _, err := io.Copy(io.Discard, s); err != nil {
					return err
				}
				return errors.New("no agent answered")
			})
			if !errors.Is(err, drivers.ErrUnreachable) {
				t.Fatalf("got %v", err)
			}
			if host.asked > 10 {
				t.Errorf("%d commands", host.asked)
			}
			if text := err.Error(); len(text) > 8<<10 || strings.ContainsFunc(text, func(r rune) bool { return !unicode.IsPrint(r) }) {
				t.Errorf("%d bytes, and a terminal would obey: %q", len(text), text)
			}
		}
	})
}

func TestAnswersToHostsThatLie(t *testing.T) {
	const begin = "\nreconciler-agent begin\n"
	for name, c := range map[string]struct {
		says string
		kind bootstrap.Kind
		want string
	}{
		"it has more than there was":     {begin + "reconciler-agent system " + uname() + "\nreconciler-agent have 7\nreconciler-agent end\n", bootstrap.Broken, `it says that it has "7" of it`},
		"it is no platform":              {begin + "reconciler-agent system ../x ../../y\nreconciler-agent end\n", bootstrap.NoBinary, "the host is unknown/unknown"},
		"it never comes to the end":      {begin + "reconciler-agent system " + uname() + "\n", bootstrap.Hanging, "ended with status 0"},
		"all is done and nothing is so":  {begin + "reconciler-agent system " + uname() + "\nreconciler-agent have 0\nreconciler-agent installed 0\nreconciler-agent end\n", bootstrap.Broken, "is there, and ended with status 0"},
		"it was put into place and died": {begin + "reconciler-agent system " + uname() + "\nreconciler-agent installed 1 \x1b[2Jno\nreconciler-agent end\n", bootstrap.Broken, `\x1b[2Jno`},
	} {
		t.Run(name, func(t *testing.T) {
			opts := bootstrap.Options{Host: "h", Patience: time.Second, Binaries: bootstrap.NewBinaries("/bin/sh", "")}
			err := bootstrap.Agent(t.Context(), &liar{says: []byte(c.says)}, opts, func(context.Context, link.Stream) error { return errors.New("no") })
			p := (*bootstrap.Problem)(nil)
			if !errors.As(err, &p) || p.Kind != c.kind || !strings.Contains(p.Error(), c.want) {
				t.Errorf("got %v, want %s with %s", err, c.kind, c.want)
			}
		})
	}
}

// uname is what a host of this machine's platform calls itself.
func uname() string { return bootstrap.Own().OS + " " + bootstrap.Own().Arch }
