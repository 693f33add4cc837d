package testprog

import (
	"encoding/json"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

func TestArgsAndParseAreInverse(t *testing.T) {
	want := Options{
		Report: "/r", Role: "child", Child: Orphan, Background: true, Say: "hello", Complain: "-oh", Ignore: "SIGTERM,SIGINT", Note: "SIGHUP",
		Linger: time.Second, After: time.Minute, Exit: 3, Die: "SIGSEGV", HTTP: "127.0.0.1:1", Accept: true, Rest: []string{"-x", "", "a\nb"},
	}
	got, err := Parse(want.Args())
	if err != nil {
		t.Fatal(err)
	}
	if d := cmp.Diff(want, got); d != "" {
		t.Error(d)
	}
}

func TestParseRefusesWhatItDoesNotKnow(t *testing.T) {
	if _, err := Parse([]string{"-frobnicate"}); err == nil {
		t.Error("an unknown option passed")
	}
}

func TestParseReport(t *testing.T) {
	want := []Line{{Role: "leader", PID: 1, Args: [][]byte{{0xff}}}, {Role: "leader", PID: 1, Event: "SIGHUP"}}
	var text []byte
	for _, l := range want {
		one, err := json.Marshal(l)
		if err != nil {
			t.Fatal(err)
		}
		text = append(append(text, one...), '\n')
	}
	got, err := ParseReport(append(text, `{"role":"half`...))
	if err != nil {
		t.Fatal(err)
	}
	if d := cmp.Diff(want, got); d != "" {
		t.Error(d)
	}
	if _, err := ParseReport([]byte("nonsense\n")); err == nil {
		t.Error("a damaged report passed")
	}
}

func TestHostile(t *testing.T) {
	for what, list := range map[string][]string{"strings": Hostile(), "file names": HostileNames(), "variables": HostileVariables()} {
		if len(list) < 200 {
			t.Errorf("%d %s, want 200", len(list), what)
		}
		for _, s := range list {
			if strings.IndexByte(s, 0) >= 0 || len(s) > 255 {
				t.Errorf("%s: %q can be handed to no process, or call no file", what, s)
			}
		}
	}
}
