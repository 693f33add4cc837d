package sockets

import (
	"strings"
	"testing"
)

func TestNames(t *testing.T) {
	for _, tt := range []struct {
		socket Socket
		text   string
		want   string
	}{
		{Socket{Network: "tcp", Address: "0.0.0.0:8080"}, "tcp://0.0.0.0:8080", "8080"},
		{Socket{Network: "tcp", Address: "[::1]:80"}, "tcp://[::1]:80", "80"},
		{Socket{Network: "tcp", Address: ":443"}, "tcp://:443", "443"},
		{Socket{Network: "unix", Address: "/run/x.sock"}, "unix:///run/x.sock", "x.sock"},
		{Socket{Network: "unix", Address: "/run/a:b é"}, "unix:///run/a:b é", "a_b__"},
		{Socket{Network: "unix", Address: "/" + strings.Repeat("x", 300)}, "unix:///" + strings.Repeat("x", 300), strings.Repeat("x", 255)},
	} {
		if got := tt.socket.Name(); got != tt.want {
			t.Errorf("%s is called %q, want %q", tt.socket, got, tt.want)
		}
		if got := tt.socket.String(); got != tt.text {
			t.Errorf("it reads %q, want %q", got, tt.text)
		}
	}
	for name, want := range map[string]string{"web": "web", "web_1": "web", "a.b-c": "a.b-c"} {
		if got := Family(name); got != want {
			t.Errorf("%s is of %s, want %s", name, got, want)
		}
	}
}
