//go:build unix

package sdnotify

import (
	"fmt"
	"net"
	"os"
	"path/filepath"
	"runtime"
	"testing"
	"time"
)

func TestSend(t *testing.T) {
	sockets := []string{filepath.Join(t.TempDir(), "notify")}
	if runtime.GOOS == "linux" {
		sockets = append(sockets, fmt.Sprintf("@reconciler-test-%d", os.Getpid()))
	}
	for _, name := range sockets {
		addr := &net.UnixAddr{Name: name, Net: "unixgram"} // the package net knows "@" too
		heard, err := net.ListenUnixgram("unixgram", addr)
		if err != nil {
			t.Fatal(err)
		}
		if err := Send(name, Ready, "STATUS=well"); err != nil {
			t.Fatal(err)
		}
		if err := heard.SetReadDeadline(time.Now().Add(10 * time.Second)); err != nil {
			t.Fatal(err)
		}
		b := make([]byte, 100)
		n, err := heard.Read(b)
		if err != nil || string(b[:n]) != "READY=1\nSTATUS=well" {
			t.Errorf("%s heard %q (%v)", name, b[:n], err)
		}
		heard.Close()
		if err := Send(name, Ready); err == nil {
			t.Errorf("%s: nobody hears it, and that is no error", name)
		}
	}
	if err := Send("", Ready); err != nil {
		t.Errorf("told to nobody: %v", err)
	}
}
