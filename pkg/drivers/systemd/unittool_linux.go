package systemd

import (
	"context"
	"encoding/base64"
	"errors"
	"fmt"
	"io"
	"os"
	"slices"
	"strconv"
	"strings"
	"time"

	"golang.org/x/sys/unix"

	"reconciler.dev/reconciler/internal/pidfd"
	"reconciler.dev/reconciler/internal/post"
	"reconciler.dev/reconciler/internal/sockets"
	"reconciler.dev/reconciler/internal/spawn"
	"reconciler.dev/reconciler/pkg/drivers"
	"reconciler.dev/reconciler/pkg/spec"
)

// Tool does what a unit asks of this program where it was started by one, and returns the status to exit with; else called is false and nothing was done. Call it
// first of all in main, and in TestMain of test programs that render units. args are all of os.Args; complaints go to stderr.
//
// As reconciler-stop it posts to a daemon's stop URL, through no proxy and following no redirect, and waits until the daemon's main process has ended, or says no, or
// isn't there to ask, or its time is over; systemd then sends the signal. As reconciler-reload it signals the main process, or posts. As reconciler-exec it
// becomes the daemon: its own arguments, and the variables that systemd couldn't carry, are decoded. As reconciler-listen it does, too, once it has put the daemon's sockets into the
// order of its manifest.
func Tool(ctx context.Context, args []string, stderr io.Writer) (status int, called bool) {
	if len(args) == 0 || !slices.Contains([]string{toolStop, toolReload, toolExec, toolListen}, args[0]) {
		return 0, false
	}
	status, err := tool(ctx, args[0], args[1:])
	if err != nil {
		fmt.Fprintf(stderr, "%s: %v\n", args[0], err)
	}
	return status, true
}

// The statuses that systemd gives names to: see systemd.exec(5), PROCESS EXIT CODES.
const (
	exitFailure = 1
	exitUsage   = 2
	exitChdir   = 200
	exitExec    = 203
)

func tool(ctx context.Context, name string, args []string) (status int, err error) {
	switch {
	case name == toolExec && len(args) >= 2:
		return become(args, nil)
	case name == toolListen && len(args) >= 3:
		return becomeListener(args)
	case name == toolStop && len(args) == 2:
		err = stopMain(ctx, args[0], args[1])
	case name == toolReload && len(args) == 1:
		err = reloadMain(ctx, args[0])
	default:
		return exitUsage, errors.New("this is called by units only")
	}
	if err != nil {
		return exitFailure, err
	}
	return 0, nil
}

// becomeListener is become for a daemon with sockets, which it puts into their order.
func becomeListener(args []string) (status int, err error) {
	first, err := unwrap(args[0])
	if err != nil {
		return exitUsage, err
	}
	n, err := strconv.Atoi(first)
	if err != nil || n < 0 || len(args) < 1+n+2 {
		return exitUsage, errors.New("this is called by units only")
	}
	var want []sockets.Socket
	for _, a := range args[1 : 1+n] {
		text, err := unwrap(a)
		if err != nil {
			return exitUsage, err
		}
		s, err := spec.ParseSocket(text)
		if err != nil {
			return exitUsage, err
		}
		want = append(want, sockets.Socket{Network: s.Network, Address: s.Address})
	}
	if err := sockets.Arrange(want, os.Getenv); err != nil {
		return exitFailure, err
	}
	return become(args[1+n:], []string{"LISTEN_FDNAMES=" + sockets.Names(want)})
}

// become returns only on an error. vars go over what the environment says.
func become(args, vars []string) (status int, err error) {
	plain := make([]string, len(args))
	for i, a := range args {
		if plain[i], err = unwrap(a); err != nil {
			return exitUsage, err
		}
	}
	env, err := decodedEnv(os.Environ())
	if err != nil {
		return exitUsage, err
	}
	for _, v := range vars {
		name, _, _ := strings.Cut(v, "=")
		env = append(slices.DeleteFunc(env, func(kv string) bool { return strings.HasPrefix(kv, name+"=") }), v)
	}
	err = spawn.Exec(plain[0], plain[1], plain[1:], env)
	if _, ok := errors.AsType[*spawn.DirError](err); ok {
		return exitChdir, err
	}
	return exitExec, err
}

// decodedEnv puts back the variables that were carried encoded.
func decodedEnv(env []string) (all []string, err error) {
	for _, kv := range env {
		name, code, _ := strings.Cut(kv, "=")
		if !strings.HasPrefix(name, toolVariable) {
			all = append(all, kv)
			continue
		}
		b, err := base64.RawURLEncoding.DecodeString(code)
		if err != nil {
			return nil, fmt.Errorf("read %s: %w", name, err) // the value may be a secret
		}
		all = append(all, string(b))
	}
	return all, nil
}

// mainProcess opens the daemon's main process, pidfd.None where it has ended.
func mainProcess() (pidfd.FD, error) {
	pid, err := strconv.Atoi(os.Getenv(mainPID))
	if err != nil {
		return pidfd.None, nil // systemd sets it as long as there is one
	}
	fd, err := pidfd.Open(pid)
	if errors.Is(err, pidfd.ErrGone) {
		return pidfd.None, nil
	}
	return fd, err
}

func stopMain(ctx context.Context, url, milliseconds string) error {
	ms, err := strconv.Atoi(milliseconds)
	if err != nil {
		return err
	}
	main, err := mainProcess()
	if err != nil || main == pidfd.None {
		return err
	}
	ctx, cancel := context.WithTimeout(ctx, time.Duration(ms)*time.Millisecond)
	defer cancel()
	var poller pidfd.Poller
	ended := make(chan struct{})
	if _, err := poller.Add(main, func() { close(ended) }); err != nil {
		return err
	}
	answer := make(chan error, 1)
	go func() { answer <- post.To(ctx, url) }()
	for {
		select {
		case <-ended:
			return nil
		case err := <-answer:
			if errors.Is(err, post.ErrRefused) {
				return err
			}
		case <-ctx.Done():
			return fmt.Errorf("POST %s: the daemon is still there after %d ms", url, ms)
		}
	}
}

func reloadMain(ctx context.Context, how string) error {
	if !strings.HasPrefix(how, "SIG") {
		return drivers.ReloadByURL(ctx, how)
	}
	main, err := mainProcess()
	if err != nil {
		return err
	}
	if main == pidfd.None {
		return errors.New("the daemon has no main process to signal")
	}
	return main.Signal(unix.SignalNum(how))
}
