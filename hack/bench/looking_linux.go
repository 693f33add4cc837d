package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

// The lengths of what looking measures: passes of a long run, less those of a short one, and seconds of top.
const (
	fewPasses, manyPasses = 2, 22
	topSeconds            = 20
)

// looking measures what it costs to look at daemons: CPU time, which says the same on a busy machine.
func (b *bench) looking(ctx context.Context) (rows []row, err error) {
	if b.reconciler == "" {
		return nil, nil
	}
	f, err := b.fleet(b.n)
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, f.remove(context.WithoutCancel(ctx))) }()
	if _, err := f.do(ctx, "apply", "-f", f.manifests); err != nil {
		return nil, err
	}
	var passes, first, theirs figures
	for range b.rounds {
		short, err := cpuOf(f.stats(ctx, fewPasses))
		long, err2 := cpuOf(f.stats(ctx, manyPasses))
		once, err3 := cpuOf(f.stats(ctx, 1))
		cgtop, err4 := cpuOf(exec.CommandContext(ctx, "systemd-cgtop", "-n1", "-b"))
		if err := errors.Join(err, err2, err3); err != nil {
			return nil, err
		}
		passes.took((long - short) / (manyPasses - fewPasses))
		first.took(once)
		if err4 == nil {
			theirs.took(cgtop)
		}
	}
	top, err := f.topShare(ctx)
	if err != nil {
		return nil, err
	}
	peer := ""
	if len(theirs) > 0 {
		peer = short(theirs.median()) + " ms systemd-cgtop -n1 -b"
	}
	return []row{
		{what: fmt.Sprintf("%s, stats: a pass over %d and its JSON, CPU", b.driver, b.n), unit: "ms", ours: passes, bar: b.passBar(), peer: peer},
		{what: fmt.Sprintf("%s, stats --count 1 of %d, the whole command, CPU", b.driver, b.n), unit: "ms", ours: first, peer: peer},
		{what: fmt.Sprintf("%s, top at 1 Hz with %d, of a core", b.driver, b.n), unit: "%", ours: top, bar: b.topBar()},
	}, nil
}

// passBar is what a pass may cost where cgroups count. Where only /proc does, that is shown.
func (b *bench) passBar() float64 {
	if b.driver == "process" {
		return 0
	}
	return 25
}

func (b *bench) topBar() float64 {
	if b.driver == "process" {
		return 0
	}
	return 3
}

// stats is a run of so many passes, as fast as they may follow each other.
func (f *fleet) stats(ctx context.Context, passes int) *exec.Cmd {
	return f.command(ctx, "stats", "-o", "json", "--interval", "100ms", "--count", fmt.Sprint(passes))
}

// cpuOf runs a command to its end and returns the CPU time that it took.
func cpuOf(cmd *exec.Cmd) (time.Duration, error) {
	if err := cmd.Run(); err != nil { // its output goes to /dev/null
		return 0, fmt.Errorf("%v: %w", cmd.Args, err)
	}
	return cmd.ProcessState.UserTime() + cmd.ProcessState.SystemTime(), nil
}

// topShare is how much of a core a top takes on a terminal of 50 lines, in percent.
func (f *fleet) topShare(ctx context.Context) (share figures, err error) {
	ours, theirs, err := terminal(50, 160)
	if err != nil {
		return nil, fmt.Errorf("make a terminal: %w", err)
	}
	defer ours.Close()
	go io.Copy(io.Discard, ours) // ends with the terminal
	cmd := f.command(ctx, "top")
	cmd.Env = append(cmd.Env, "TERM=xterm-256color")
	cmd.Stdin, cmd.Stdout, cmd.Stderr = theirs, theirs, theirs
	cmd.SysProcAttr = &syscall.SysProcAttr{Setsid: true, Setctty: true}
	err = cmd.Start()
	theirs.Close()
	if err != nil {
		return nil, err
	}
	measure := func() (time.Duration, error) {
		c, err := costOf(cmd.Process.Pid)
		return c.cpu, err
	}
	err = pause(ctx, 5*time.Second)
	before, err2 := measure()
	began := time.Now()
	err3 := pause(ctx, topSeconds*time.Second)
	after, err4 := measure()
	took := time.Since(began)
	_, quit := ours.WriteString("q")
	if err := errors.Join(err, err2, err3, err4, quit, cmd.Wait()); err != nil {
		return nil, fmt.Errorf("measure top: %w", err)
	}
	share.add(100 * (after - before).Seconds() / took.Seconds())
	return share, nil
}

// terminal makes one, and returns both its ends: see pts(4).
func terminal(lines, columns uint16) (ours, theirs *os.File, err error) {
	ours, err = os.OpenFile("/dev/ptmx", os.O_RDWR, 0)
	if err != nil {
		return nil, nil, err
	}
	fd := int(ours.Fd())
	n, err := unix.IoctlGetInt(fd, unix.TIOCGPTN)
	if err == nil {
		err = unix.IoctlSetPointerInt(fd, unix.TIOCSPTLCK, 0)
	}
	if err == nil {
		err = unix.IoctlSetWinsize(fd, unix.TIOCSWINSZ, &unix.Winsize{Row: lines, Col: columns})
	}
	if err == nil {
		theirs, err = os.OpenFile(fmt.Sprintf("/dev/pts/%d", n), os.O_RDWR|unix.O_NOCTTY, 0)
	}
	if err != nil {
		return nil, nil, errors.Join(err, ours.Close())
	}
	return ours, theirs, nil
}
