//go:build unix

// The test program: see internal/testprog.
package main

import (
	"encoding/json"
	"fmt"
	"net"
	"net/http"
	"os"
	"os/exec"
	"os/signal"
	"strconv"
	"strings"
	"syscall"
	"time"

	"golang.org/x/sys/unix"

	"reconciler.dev/reconciler/internal/testprog"
)

func main() {
	self := describe() // before anything here opens a file
	o, err := testprog.Parse(os.Args[1:])
	check(err)
	self.Role = o.Role
	signals := make(chan os.Signal, 16)
	signal.Notify(signals, syscall.SIGWINCH) // else the Go runtime takes a program that waits for nothing for a deadlock
	for _, s := range testprog.Signals(o.Ignore) {
		signal.Ignore(unix.SignalNum(s))
	}
	for _, s := range testprog.Signals(o.Note) {
		signal.Notify(signals, unix.SignalNum(s))
	}
	if o.Linger > 0 {
		signal.Notify(signals, syscall.SIGTERM)
	}
	if o.Background {
		o.Background, o.Role = false, "background"
		background(o)
	}
	if o.Child != "" {
		child(o)
	}
	if o.Say != "" {
		fmt.Println(o.Say)
	}
	if o.Complain != "" {
		fmt.Fprintln(os.Stderr, o.Complain)
	}
	if o.HTTP != "" {
		serve(o, self)
	}
	if o.Accept {
		accept()
	}
	report(o, self)
	go leave(o)
	for s := range signals {
		name := unix.SignalName(s.(syscall.Signal))
		report(o, testprog.Line{Role: o.Role, PID: os.Getpid(), Event: name})
		if s == syscall.SIGTERM && o.Linger > 0 {
			time.Sleep(o.Linger)
			os.Exit(0)
		}
	}
}

// leave ends the process as the options say, if they do.
func leave(o testprog.Options) {
	time.Sleep(o.After)
	if o.Exit >= 0 {
		os.Exit(o.Exit)
	}
	if o.Die != "" {
		check(syscall.Kill(os.Getpid(), unix.SignalNum(o.Die)))
	}
}

// background goes on in a session of its own, as a daemon that forks itself does.
func background(o testprog.Options) {
	start(o, &syscall.SysProcAttr{Setsid: true})
	wait(o, o.Role)
	os.Exit(0)
}

func child(o testprog.Options) {
	kind := o.Child
	c := testprog.Stay(o.Report)
	c.Role = "child"
	var attr syscall.SysProcAttr
	if kind != testprog.Plain {
		c.Ignore = "SIGTERM"
	}
	switch kind {
	case testprog.Session:
		attr.Setsid = true
	case testprog.Orphan:
		c.Background, c.Role = true, "between"
	}
	p := start(c, &attr)
	if kind == testprog.Orphan {
		check(p.Wait())
		return
	}
	wait(o, "child")
}

func start(o testprog.Options, attr *syscall.SysProcAttr) *exec.Cmd {
	c := exec.Command("/proc/self/exe", o.Args()...)
	c.SysProcAttr, c.Stdout, c.Stderr = attr, os.Stdout, os.Stderr
	check(c.Start())
	return c
}

// wait waits for the line of role, so that whoever sees our own knows that the other runs.
func wait(o testprog.Options, role string) {
	for {
		text, err := os.ReadFile(o.Report)
		if err == nil && strings.Contains(string(text), `{"role":"`+role+`"`) {
			return
		}
		time.Sleep(time.Millisecond)
	}
}

func serve(o testprog.Options, self testprog.Line) {
	event := func(r *http.Request) {
		report(o, testprog.Line{Role: self.Role, PID: self.PID, Event: r.Method + " " + r.URL.Path})
	}
	mux := http.NewServeMux()
	mux.HandleFunc("POST /stop", func(_ http.ResponseWriter, r *http.Request) {
		event(r)
		os.Exit(0)
	})
	mux.HandleFunc("POST /reload", func(_ http.ResponseWriter, r *http.Request) { event(r) })
	mux.HandleFunc("/status/{code}", func(w http.ResponseWriter, r *http.Request) {
		code, err := strconv.Atoi(r.PathValue("code"))
		check(err)
		w.WriteHeader(code)
	})
	ready := make(chan error)
	l, err := listen(o.HTTP)
	check(err)
	go func() { ready <- http.Serve(l, mux) }()
	select {
	case err := <-ready:
		check(err)
	default:
	}
}

// accept answers on the sockets that were handed to this very process.
func accept() {
	n, err := strconv.Atoi(os.Getenv("LISTEN_FDS"))
	check(err)
	if os.Getenv("LISTEN_PID") != strconv.Itoa(os.Getpid()) {
		check(fmt.Errorf("the sockets are for process %s, and this is %d", os.Getenv("LISTEN_PID"), os.Getpid()))
	}
	for fd := 3; fd < 3+n; fd++ {
		l, err := net.FileListener(os.NewFile(uintptr(fd), "socket"))
		check(err)
		go func() {
			for {
				c, err := l.Accept()
				check(err)
				fmt.Fprintf(c, "%d %d\n", fd, os.Getpid())
				c.Close()
			}
		}()
	}
}

func report(o testprog.Options, l testprog.Line) {
	text, err := json.Marshal(l)
	check(err)
	f, err := os.OpenFile(o.Report, os.O_WRONLY|os.O_APPEND|os.O_CREATE, 0o666)
	check(err)
	_, err = f.Write(append(text, '\n'))
	check(err)
	check(f.Close())
}

func check(err error) {
	if err != nil {
		fmt.Fprintln(os.Stderr, "testprog:", err)
		os.Exit(125)
	}
}
