package labhost

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
)

// boot is one boot of a host, from power on to power off, seen from the tests.
type boot struct {
	pid    int // of process 1
	cgroup string
	inside *os.File      // the cgroup in which things are run there, where there is no systemd that would see to it
	power  io.Closer     // closing it cuts the power
	off    chan struct{} // closed when the host is off
	how    string        // how process 1 ended; to be read when it is off
}

// errCrowded marks how systemd ends that gets no inotify instance: a machine has 128 for all its hosts (fs.inotify.max_user_instances), one host takes about ten, and
// other tests have hosts too. When they are done there is room again.
var errCrowded = errors.New("there may be too many hosts at once")

// boot boots a host and returns when it has booted.
func (l *Lab) boot(ctx context.Context, s bootSpec, log io.Writer) (_ *boot, err error) {
	spec, err := json.Marshal(s)
	if err != nil {
		return nil, err
	}
	root, err := makeCgroup(s.Cgroup)
	if err != nil {
		return nil, err
	}
	root.Close()
	binary, err := os.Executable()
	if err != nil {
		return nil, err
	}
	cmd := nsenter(context.WithoutCancel(ctx), l.pid, []string{"--mount", "--net", "--pid"}, binary)
	cmd.Env, cmd.Stderr = stageEnvironment(stageBoot, specEnv+"="+string(spec)), log
	b := &boot{cgroup: s.Cgroup, off: make(chan struct{})}
	if b.power, err = cmd.StdinPipe(); err != nil {
		return nil, err
	}
	out, err := cmd.StdoutPipe()
	if err != nil {
		return nil, err
	}
	if err := cmd.Start(); err != nil {
		return nil, err
	}
	ready := make(chan struct{})
	go func() {
		defer close(b.off)
		b.follow(out, ready)
		if err := cmd.Wait(); err != nil && b.how == "" {
			b.how = "an error of the booting part: " + err.Error()
		}
	}()
	select {
	case <-ready:
		err = b.open(s.Kind)
	case <-b.off:
		err = fmt.Errorf("it ended with %s", b.how)
		if b.how == "exit status 255" {
			err = fmt.Errorf("%w: %w", err, errCrowded)
		}
	case <-ctx.Done():
		err = fmt.Errorf("wait until it is ready: %w", ctx.Err())
	}
	if err != nil {
		return nil, errors.Join(err, b.end())
	}
	return b, nil
}

// follow reads what the booting part tells.
func (b *boot) follow(out io.Reader, ready chan<- struct{}) {
	events := json.NewDecoder(out)
	for {
		var e bootEvent
		if err := events.Decode(&e); err != nil {
			return // it has ended
		}
		switch {
		case e.PID != 0:
			b.pid = e.PID
		case e.Ready:
			close(ready)
		case e.Ended != "":
			b.how = e.Ended
		}
	}
}

// open opens the cgroup for what is run on the host.
func (b *boot) open(kind Kind) (err error) {
	switch kind {
	case Cgroup:
		b.inside, err = os.Open(b.cgroup + "/" + testCgroup)
	case Bare:
		b.inside, err = os.Open(b.cgroup)
	}
	return err
}

// over tells whether the host is off.
func (b *boot) over() bool {
	select {
	case <-b.off:
		return true
	default:
		return false
	}
}

// wait waits until the host is off, and says how its process 1 ended.
func (b *boot) wait(ctx context.Context) (string, error) {
	select {
	case <-b.off:
		return b.how, nil
	case <-ctx.Done():
		return "", fmt.Errorf("wait until it is off: %w", ctx.Err())
	}
}

// end cuts the power and removes the host's cgroup. Doing that again does nothing.
func (b *boot) end() error {
	b.power.Close()
	<-b.off
	if b.inside != nil {
		b.inside.Close()
	}
	return removeCgroup(b.cgroup)
}
