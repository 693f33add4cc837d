//go:build unix

package main

import (
	"bufio"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"syscall"
	"testing"
	"time"
)

// asDaemon makes this test binary be hello.
const asDaemon = "HELLO_TEST_BE_THE_DAEMON"

func TestMain(m *testing.M) {
	if os.Getenv(asDaemon) != "" {
		main()
		os.Exit(0)
	}
	os.Exit(m.Run())
}

func TestDaemonEnds(t *testing.T) {
	for name, end := range map[string]func(t *testing.T, d daemon){
		"SIGTERM": func(t *testing.T, d daemon) { d.signal(t, syscall.SIGTERM) },
		"SIGINT":  func(t *testing.T, d daemon) { d.signal(t, syscall.SIGINT) },
		"POST /shutdown": func(t *testing.T, d daemon) {
			resp, err := http.Post(d.url+"/shutdown", "", nil)
			if err != nil {
				t.Fatal(err)
			}
			resp.Body.Close()
		},
	} {
		t.Run(name, func(t *testing.T) {
			d := start(t)
			end(t, d)
			log := d.rest()
			if err := d.cmd.Wait(); err != nil {
				t.Errorf("ended with %v", err)
			}
			if !strings.Contains(log, "msg=ending") || !strings.Contains(log, "msg=stopped") {
				t.Errorf("the log of its end: %s", log)
			}
		})
	}
}

func TestDaemonReloadsOnSIGHUP(t *testing.T) {
	config := filepath.Join(t.TempDir(), "hello.json")
	write(t, config, `{"greeting": "One"}`)
	d := start(t, "-config", config)
	write(t, config, `{"greeting": "Two"}`)
	d.signal(t, syscall.SIGHUP)
	d.await(t, "greeting=Two")
	resp, err := http.Get(d.url)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(resp.Body)
	if err != nil || !strings.HasPrefix(string(body), "Two, world!") {
		t.Errorf("got %q, %v", body, err)
	}
}

// TestDaemonIsHandedSockets: it serves on all of them, and who connects before it runs, or after it was asked to end, waits for the next one.
func TestDaemonIsHandedSockets(t *testing.T) {
	var sockets []*os.File
	var addrs []string
	for range 2 {
		l, err := net.Listen("tcp", "127.0.0.1:0")
		if err != nil {
			t.Fatal(err)
		}
		f, err := l.(*net.TCPListener).File()
		if err != nil {
			t.Fatal(err)
		}
		l.Close()
		t.Cleanup(func() { f.Close() })
		sockets, addrs = append(sockets, f), append(addrs, l.Addr().String())
	}
	for range 3 {
		early, err := net.Dial("tcp", addrs[1])
		if err != nil {
			t.Fatal(err)
		}
		defer early.Close()
		d := startWith(t, sockets)
		for _, addr := range addrs {
			resp, err := http.Get("http://" + addr)
			if err != nil {
				t.Fatal(err)
			}
			resp.Body.Close()
		}
		io.WriteString(early, "GET / HTTP/1.0\r\n\r\n")
		if text, err := io.ReadAll(early); err != nil || !strings.Contains(string(text), fmt.Sprintf("process %d.", d.cmd.Process.Pid)) {
			t.Errorf("got %q, %v", text, err)
		}
		d.signal(t, syscall.SIGTERM)
		d.rest()
		if err := d.cmd.Wait(); err != nil {
			t.Errorf("ended with %v", err)
		}
	}
}

// startWith hands sockets to a hello, which is executed by a shell: only the process itself knows its number.
func startWith(t *testing.T, sockets []*os.File) daemon {
	t.Helper()
	cmd := exec.Command("/bin/sh", "-c", `LISTEN_PID=$$ exec "$0" -addr 256.0.0.1:1`, os.Args[0])
	cmd.Env, cmd.ExtraFiles = append(os.Environ(), asDaemon+"=1", fmt.Sprintf("LISTEN_FDS=%d", len(sockets)), "LISTEN_FDNAMES=a"), sockets
	return begin(t, cmd)
}

func TestSocketsOfSomebodyElse(t *testing.T) {
	t.Setenv("LISTEN_FDS", "1")
	t.Setenv("LISTEN_PID", "1")
	all, err := listen("127.0.0.1:0")
	if err != nil || len(all) != 1 {
		t.Fatalf("%d sockets, %v", len(all), err)
	}
	all[0].Close()
}

func TestDaemonSaysWhyItCannotStart(t *testing.T) {
	cmd := exec.Command(os.Args[0], "-addr", "256.0.0.1:1")
	cmd.Env = append(os.Environ(), asDaemon+"=1")
	out, err := cmd.Output()
	if err == nil || !strings.Contains(string(out), "listen") {
		t.Errorf("got %v, %s", err, out)
	}
}

// daemon is a running hello.
type daemon struct {
	cmd *exec.Cmd
	log *bufio.Scanner
	url string
}

func start(t *testing.T, args ...string) daemon {
	t.Helper()
	cmd := exec.Command(os.Args[0], append([]string{"-addr", "127.0.0.1:0"}, args...)...)
	cmd.Env = append(os.Environ(), asDaemon+"=1")
	return begin(t, cmd)
}

// begin starts a hello and waits until it listens.
func begin(t *testing.T, cmd *exec.Cmd) daemon {
	t.Helper()
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	stuck := time.AfterFunc(time.Minute, func() { cmd.Process.Kill() })
	t.Cleanup(func() {
		stuck.Stop()
		cmd.Process.Kill()
		cmd.Wait()
	})
	d := daemon{cmd: cmd, log: bufio.NewScanner(out)}
	line := d.await(t, "msg=listening")
	d.url = "http://" + regexp.MustCompile(`addr=(\S+)`).FindStringSubmatch(line)[1]
	return d
}

func (d daemon) signal(t *testing.T, s syscall.Signal) {
	t.Helper()
	if err := d.cmd.Process.Signal(s); err != nil {
		t.Fatal(err)
	}
}

// await returns the next line of the log that has text.
func (d daemon) await(t *testing.T, text string) string {
	t.Helper()
	for d.log.Scan() {
		if strings.Contains(d.log.Text(), text) {
			return d.log.Text()
		}
	}
	t.Fatalf("the log ended before %q", text)
	return ""
}

// rest returns the log from here to the daemon's end.
func (d daemon) rest() string {
	var all strings.Builder
	for d.log.Scan() {
		all.WriteString(d.log.Text() + "\n")
	}
	return all.String()
}
