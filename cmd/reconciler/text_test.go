package main

import (
	"bytes"
	"strings"
	"sync"
	"testing"
	"time"
	"unicode"

	"github.com/google/go-cmp/cmp"
)

func TestClean(t *testing.T) {
	for in, want := range map[string]string{
		"":                     "",
		"plain text, 100%":     "plain text, 100%",
		"Grüße, 世界":            "Grüße, 世界",
		"\x1b[31mred\x1b[m":    `\x1b[31mred\x1b[m`,
		"two\nlines\tand tab":  `two\nlines\tand tab`,
		"bell \a":              `bell \a`,
		"C1 \u009b31m":         `C1 \u009b31m`,
		"turned \u202etxt.exe": `turned \u202etxt.exe`,
		"\xff not UTF-8":       `\xff not UTF-8`,
		"nul \x00":             `nul \x00`,
		"del \x7f":             `del \x7f`,
	} {
		if got := clean(in); got != want {
			t.Errorf("clean(%q) = %q, want %q", in, got, want)
		}
	}
	if got, want := cleanLines("a\n\tb\x1b\n"), "a\n\tb\\x1b\n"; got != want {
		t.Errorf("cleanLines = %q, want %q", got, want)
	}
}

func FuzzClean(f *testing.F) {
	f.Add("x\x1b]0;title\a\u202e\xff\u009b")
	f.Fuzz(func(t *testing.T, s string) {
		if strings.ContainsFunc(clean(s), func(r rune) bool { return !unicode.IsPrint(r) }) {
			t.Errorf("clean(%q) = %q has something that isn't printable", s, clean(s))
		}
		if clean(clean(s)) != clean(s) {
			t.Errorf("clean(%q) isn't settled", s)
		}
		if strings.ContainsFunc(string(tame([]byte(s), false)), func(r rune) bool { return r != '\t' && !unicode.IsPrint(r) }) {
			t.Errorf("tame(%q) = %q has something that a terminal acts on", s, tame([]byte(s), false))
		}
	})
}

func TestAge(t *testing.T) {
	for in, want := range map[time.Duration]string{
		-time.Second:                        "0s",
		0:                                   "0s",
		1500 * time.Millisecond:             "1s",
		119 * time.Second:                   "119s",
		2 * time.Minute:                     "2m",
		3*time.Minute + 4*time.Second:       "3m4s",
		11*time.Minute + 4*time.Second:      "11m",
		3 * time.Hour:                       "3h",
		3*time.Hour + 12*time.Minute:        "3h12m",
		9*time.Hour + 12*time.Minute:        "9h",
		49 * time.Hour:                      "2d1h",
		9*24*time.Hour + 3*time.Hour:        "9d",
		800 * 24 * time.Hour:                "2y70d",
		2 * 365 * 24 * time.Hour:            "2y",
		59*time.Minute + 59*time.Second:     "59m",
		7*24*time.Hour + 23*time.Hour + 1e9: "7d23h",
	} {
		if got := age(in); got != want {
			t.Errorf("age(%v) = %s, want %s", in, got, want)
		}
	}
}

func TestTable(t *testing.T) {
	var b bytes.Buffer
	tab := table{out: &b, header: []string{"NAME", "STATUS", "NOTE"}}
	tab.add("web", "Running", "")
	tab.add("größe", "Stopped", "line\nbreak")
	if err := tab.flush(); err != nil {
		t.Fatal(err)
	}
	tab.add("db", "Running", "later")
	if err := tab.flush(); err != nil {
		t.Fatal(err)
	}
	want := "NAME    STATUS    NOTE\n" +
		"web     Running   -\n" +
		"größe   Stopped   line\\nbreak\n" +
		"db      Running   later\n"
	if d := cmp.Diff(want, b.String()); d != "" {
		t.Error(d)
	}
}

func TestLineWriter(t *testing.T) {
	for _, c := range []struct {
		name         string
		tame, colour bool
		writes       []string
		want         string
	}{
		{"lines are put together", false, false, []string{"one\ntw", "o\nthree"}, "> one\n> two\n> three\n"},
		{"bytes pass where no terminal reads them", false, false, []string{"\x1b[1m\xff\n"}, "> \x1b[1m\xff\n"},
		{"a terminal gets colours, ended on their line", true, true, []string{"a \x1b[31mred\n"}, "> a \x1b[31mred\x1b[m\n"},
		{"without colour it gets none", true, false, []string{"a \x1b[31mred\x1b[m\n"}, "> a red\n"},
		{"and no other sequence", true, true, []string{"\x1b]0;title\a\x1b[2J\rover\n"}, "> \\x1b]0;title\\a\\x1b[2J\\rover\n"},
		{"line ends of Windows are line ends", true, true, []string{"one\r\n"}, "> one\n"},
	} {
		t.Run(c.name, func(t *testing.T) {
			var b bytes.Buffer
			w := &lineWriter{out: &b, mu: new(sync.Mutex), prefix: "> ", tame: c.tame, colour: c.colour}
			for _, s := range c.writes {
				if n, err := w.Write([]byte(s)); n != len(s) || err != nil {
					t.Fatal(n, err)
				}
			}
			if err := w.flush(); err != nil {
				t.Fatal(err)
			}
			if d := cmp.Diff(c.want, b.String()); d != "" {
				t.Error(d)
			}
		})
	}
}

func TestMarshalIsHarmlessOnATerminal(t *testing.T) {
	v := map[string]string{"a": "\x1b[31m", "b": "\u009b31m \u202e", "c": "\U000e0001 <&>"}
	b, err := marshal("json", v)
	if err != nil {
		t.Fatal(err)
	}
	want := "{\n  \"a\": \"\\u001b[31m\",\n  \"b\": \"\\u009b31m \\u202e\",\n  \"c\": \"\\udb40\\udc01 <&>\"\n}\n"
	if d := cmp.Diff(want, string(b)); d != "" {
		t.Error(d)
	}
}
