package browser

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"sync"
	"syscall"
	"time"
)

// Browser is a Chromium. Its methods may be called concurrently.
type Browser struct {
	cmd *exec.Cmd
	dir string
	in  io.WriteCloser

	mu      sync.Mutex
	last    int
	answers map[int]chan answer
	pages   map[string]*Page // by session
	ended   error
}

// answer is what a call comes to.
type answer struct {
	Result json.RawMessage `json:"result"`
	Error  *struct {
		Message string `json:"message"`
	} `json:"error"`
}

// event is a message of the browser: the answer to a call, or what happened in a page.
type event struct {
	ID      int             `json:"id"`
	Method  string          `json:"method"`
	Params  json.RawMessage `json:"params"`
	Session string          `json:"sessionId"`
	answer
}

// Start starts a Chromium with a profile of its own. It ends with Close, or when this process does.
func Start() (b *Browser, err error) {
	profile, err := os.MkdirTemp("", "chromium-") // short enough for the path of its socket
	if err != nil {
		return nil, err
	}
	theirIn, in, err := os.Pipe()
	if err != nil {
		return nil, err
	}
	out, theirOut, err := os.Pipe()
	if err != nil {
		return nil, errors.Join(err, theirIn.Close(), in.Close())
	}
	b = &Browser{dir: profile, in: in, answers: map[int]chan answer{}, pages: map[string]*Page{}}
	b.cmd = exec.Command("chromium", "--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--disable-dev-shm-usage", "--no-first-run", "--no-default-browser-check",
		"--disable-background-networking", "--disable-component-update", "--disable-sync", "--disable-default-apps", "--disable-extensions", "--disable-domain-reliability",
		"--disable-features=OptimizationHints,MediaRouter,Translate", "--metrics-recording-only", "--no-proxy-server", "--host-resolver-rules=MAP * ~NOTFOUND, EXCLUDE 127.0.0.1",
		"--hide-scrollbars", "--mute-audio", "--remote-debugging-pipe", "--user-data-dir="+profile, "about:blank")
	b.cmd.ExtraFiles = []*os.File{theirIn, theirOut} // 3 and 4, by the protocol
	b.cmd.Env = append(os.Environ(), "HOME="+profile, "XDG_CONFIG_HOME="+profile, "XDG_CACHE_HOME="+profile, "TMPDIR="+profile, "TZ=UTC")
	b.cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	err = b.cmd.Start()
	err = errors.Join(err, theirIn.Close(), theirOut.Close())
	if err != nil {
		return nil, fmt.Errorf("start chromium (hack/deps.sh chromium installs it): %w", errors.Join(err, in.Close(), out.Close(), os.RemoveAll(profile)))
	}
	go b.read(out)
	return b, nil
}

// Close ends the Chromium and all processes of it, and removes its profile.
func (b *Browser) Close() error {
	_ = b.in.Close()
	_ = syscall.Kill(-b.cmd.Process.Pid, syscall.SIGKILL)
	_ = b.cmd.Wait() // it was killed
	for deadline := time.Now().Add(5 * time.Second); ; {
		if err := os.RemoveAll(b.dir); err == nil || time.Now().After(deadline) { // a process that is just ending may still write
			return err
		}
	}
}

// read hands on what the browser says until it ends.
func (b *Browser) read(out io.ReadCloser) {
	defer func() { _ = out.Close() }()
	r := bufio.NewReaderSize(out, 1<<20)
	for {
		line, err := r.ReadBytes(0)
		if err != nil {
			b.end(err)
			return
		}
		var e event
		if err := json.Unmarshal(line[:len(line)-1], &e); err != nil {
			b.end(err)
			return
		}
		b.mu.Lock()
		waiting, page := b.answers[e.ID], b.pages[e.Session]
		delete(b.answers, e.ID)
		b.mu.Unlock()
		switch {
		case waiting != nil:
			waiting <- e.answer
		case page != nil:
			page.happened(e)
		}
	}
}

func (b *Browser) end(err error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.ended = fmt.Errorf("chromium ended: %w", err)
	for _, waiting := range b.answers {
		close(waiting)
	}
	b.answers = map[int]chan answer{}
}

// call calls a method of the protocol and reads its result into result, unless that is nil.
func (b *Browser) call(ctx context.Context, session, method string, params, result any) error {
	b.mu.Lock()
	if b.ended != nil {
		b.mu.Unlock()
		return b.ended
	}
	b.last++
	text, err := json.Marshal(map[string]any{"id": b.last, "method": method, "params": params, "sessionId": session})
	if session == "" {
		text, err = json.Marshal(map[string]any{"id": b.last, "method": method, "params": params})
	}
	waiting := make(chan answer, 1)
	if err == nil {
		b.answers[b.last] = waiting
		_, err = b.in.Write(append(text, 0))
	}
	b.mu.Unlock()
	if err != nil {
		return fmt.Errorf("call %s: %w", method, err)
	}
	select {
	case <-ctx.Done():
		return fmt.Errorf("call %s: %w", method, ctx.Err())
	case a, ok := <-waiting:
		switch {
		case !ok:
			return fmt.Errorf("call %s: %w", method, errors.New("chromium ended"))
		case a.Error != nil:
			return fmt.Errorf("call %s: %s", method, a.Error.Message)
		case result == nil:
			return nil
		}
		return json.Unmarshal(a.Result, result)
	}
}
