//go:build linux

// Command witness is the daemon that the end-to-end tests keep: it does what they need of a daemon, and testifies to what happens to it.
//
// For as long as it lives it holds a lock that the kernel frees when it ends. Finding that held when it begins means that another copy lives, and
// is written to NAME.duplicates. Every start is a line in NAME.starts, and NAME.config holds the config that it goes by.
//
// It must never outlive the test for long without one of its processes being found by the mark that the test gave it: it clears no limits.
package main

import (
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"strings"
	"syscall"
	"time"
)

// options are the flags.
type options struct {
	name, dir, addr, config, secret, slot string
	background, stubborn, child, held     bool
	children, exit                        int
	sicken                                time.Duration
}

func main() {
	var o options
	flag.StringVar(&o.name, "name", "", "its name in what it writes")
	flag.StringVar(&o.dir, "dir", "", "the directory it testifies in")
	flag.StringVar(&o.addr, "addr", "", "the address it answers on; none without")
	flag.BoolVar(&o.held, "held", false, "answer on the first socket that it is given, as sd_listen_fds(3) says")
	flag.StringVar(&o.slot, "slot", "", "which of the copies it is that may live together")
	flag.StringVar(&o.config, "config", "", "its config file, reread on SIGHUP and POST /reload; \"broken\" in it ends it, \"sick\" makes it unhealthy")
	flag.StringVar(&o.secret, "secret", "", "a variable of its environment whose digest it writes to NAME.secret")
	flag.BoolVar(&o.background, "background", false, "fork into the background, as daemons of old do")
	flag.BoolVar(&o.stubborn, "stubborn", false, "ignore SIGTERM, which is a line in NAME.asked then, and a POST /shutdown too")
	flag.IntVar(&o.children, "children", 0, "how many processes to start, each in a session of its own and deaf to SIGTERM")
	flag.IntVar(&o.exit, "exit", -1, "exit with this status at once")
	flag.DurationVar(&o.sicken, "sicken", 0, "become unhealthy after that time")
	flag.BoolVar(&o.child, "child", false, "be one of those processes")
	flag.Parse()
	if err := run(&o); err != nil {
		fmt.Printf("witness %s: %v\n", o.name, err)
		os.Exit(1)
	}
}

func run(o *options) error {
	switch {
	case o.child:
		signal.Ignore(syscall.SIGTERM, syscall.SIGHUP, syscall.SIGINT)
		return syscall.Pause() // until it is killed
	case o.exit >= 0:
		if err := testify(o, "starts", fmt.Sprintf("%d %s\n", os.Getpid(), strings.Join(os.Args[1:], " "))); err != nil {
			return err
		}
		fmt.Printf("exiting with %d, as told\n", o.exit)
		os.Exit(o.exit)
	case o.background && os.Getenv("WITNESS_IN_BACKGROUND") == "":
		return intoBackground()
	}
	return live(o)
}

// intoBackground starts the same again in a session of its own, and returns once that one is ready.
func intoBackground() error {
	r, w, err := os.Pipe()
	if err != nil {
		return err
	}
	cmd := exec.Command("/proc/self/exe", os.Args[1:]...)
	cmd.Env = append(os.Environ(), "WITNESS_IN_BACKGROUND=yes")
	cmd.ExtraFiles = []*os.File{w}
	cmd.SysProcAttr = &syscall.SysProcAttr{Setsid: true}
	if err := cmd.Start(); err != nil {
		return err
	}
	w.Close()
	if said, _ := io.ReadAll(r); string(said) != "ready" {
		return errors.New("the process in the background isn't ready")
	}
	return nil
}

// live is its life: it claims to be the only one, reads its config, and serves until it is asked to end.
func live(o *options) error {
	ends := make(chan os.Signal, 4)
	signal.Notify(ends, syscall.SIGTERM, syscall.SIGINT, syscall.SIGHUP)
	if err := claim(o); err != nil {
		return err
	}
	s := &server{options: o, shutdown: make(chan struct{}, 1)}
	if err := s.reload(); err != nil {
		return err
	}
	if err := startChildren(o); err != nil {
		return err
	}
	if o.addr != "" || o.held {
		if err := s.listen(); err != nil {
			return err
		}
	}
	if o.background {
		ready := os.NewFile(3, "ready")
		ready.WriteString("ready")
		ready.Close()
	}
	fmt.Printf("witness %s, process %d, is up\n", o.name, os.Getpid())
	return s.serve(ends)
}

// claim testifies to a start, and takes the lock that only one copy can have. The lock is left to the kernel to free.
func claim(o *options) error {
	if err := testify(o, "starts", fmt.Sprintf("%d %s\n", os.Getpid(), strings.Join(os.Args[1:], " "))); err != nil {
		return err
	}
	if o.secret != "" {
		if err := testify(o, "secret", digest(os.Getenv(o.secret))+"\n"); err != nil {
			return err
		}
	}
	fd, err := syscall.Open(filepath.Join(o.dir, o.name+o.slot+".lock"), syscall.O_RDWR|syscall.O_CREAT|syscall.O_CLOEXEC, 0o600)
	if err != nil {
		return err
	}
	err = syscall.Flock(fd, syscall.LOCK_EX|syscall.LOCK_NB)
	if errors.Is(err, syscall.EWOULDBLOCK) {
		if err := testify(o, "duplicates", fmt.Sprintf("process %d started while another copy lived\n", os.Getpid())); err != nil {
			return err
		}
		return errors.New("another copy of me lives")
	}
	return err
}

// testify appends to a file of this daemon.
func testify(o *options, what, text string) error {
	f, err := os.OpenFile(filepath.Join(o.dir, o.name+"."+what), os.O_WRONLY|os.O_APPEND|os.O_CREATE, 0o644)
	if err != nil {
		return err
	}
	_, err = f.WriteString(text)
	return errors.Join(err, f.Close())
}

func startChildren(o *options) error {
	for range o.children {
		cmd := exec.Command("/proc/self/exe", "-child", "-name="+o.name)
		cmd.SysProcAttr = &syscall.SysProcAttr{Setsid: true}
		if err := cmd.Start(); err != nil {
			return err
		}
	}
	return nil
}
