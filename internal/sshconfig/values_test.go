package sshconfig

import (
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

func TestIntervals(t *testing.T) {
	for arg, want := range map[string]time.Duration{"0": 0, "7": 7 * time.Second, "1m30S": 90 * time.Second, "1w2d3h": 219 * time.Hour, "5s5": 10 * time.Second} {
		if got, err := interval(arg); err != nil || got != want {
			t.Errorf("%s: got %v, %v", arg, got, err)
		}
	}
	for _, arg := range []string{"", "x", "5y", "-1", "1.5", "m", "2147483648", "2147483647s1", "99999999w"} {
		if got, err := interval(arg); err == nil {
			t.Errorf("%q: got %v", arg, got)
		}
	}
}

func TestHops(t *testing.T) {
	for arg, want := range map[string]Hop{
		"gpu-1":                 {Host: "gpu-1"},
		"bob@gpu-1":             {User: "bob", Host: "gpu-1"},
		"bob@gpu-1:2222":        {User: "bob", Host: "gpu-1", Port: 2222},
		"bob@corp@gpu-1":        {User: "bob@corp", Host: "gpu-1"},
		"[2001:db8::1]":         {Host: "2001:db8::1"},
		"bob@[::1]:22":          {User: "bob", Host: "::1", Port: 22},
		"ssh://b%40c@gpu-1:24":  {User: "b@c", Host: "gpu-1", Port: 24},
		"ssh://bob;x=y@gpu-1/":  {User: "bob", Host: "gpu-1"},
		"ssh://gpu-1":           {Host: "gpu-1"},
		"gpu-1:":                {Host: "gpu-1"},
		"gpu-1/2222":            {Host: "gpu-1", Port: 2222},
		"bob@%h.jump.lan":       {User: "bob", Host: "%h.jump.lan"},
		"ssh://bob@gpu-1:2222/": {User: "bob", Host: "gpu-1", Port: 2222},
	} {
		got, err := ParseHop(arg)
		if diff := cmp.Diff(want, got); diff != "" || err != nil {
			t.Errorf("%s: %v, -want +got\n%s", arg, err, diff)
		}
		if again, err := ParseHop(got.String()); err != nil || again != got {
			t.Errorf("%s: written as %s, which is %+v, %v", arg, got, again, err)
		}
	}
	for _, arg := range []string{"", "@gpu-1", "bob@", ":22", "gpu-1:0", "gpu-1:65536", "gpu-1:x", "2001:db8::1", "[::1", "[]", "[::1]x", "a b", `"a"`, "ssh://", "ssh://@a", "ssh://%zz@a",
		"ssh://a/path", "ssh://[::1]"} {
		if got, err := ParseHop(arg); err == nil {
			t.Errorf("%q: got %+v", arg, got)
		}
	}
}

func TestPatterns(t *testing.T) {
	for _, c := range []struct {
		s, pattern string
		want       bool
	}{
		{"", "", true}, {"", "*", true}, {"", "?", false}, {"a", "", false}, {"a", "a", true}, {"a", "A", false}, {"ab", "a", false}, {"ab", "?b", true}, {"ab", "a?", true},
		{"ab", "a*b", true}, {"aXbXb", "a*b", true}, {"aXbXc", "a*b", false}, {"abc", "**c", true}, {"abc", "*?c", true}, {"c", "*?c", false}, {"aaaaaaaaaaaaaaaab", "*a*a*a*a*a*a*a*c", false},
		{"a*b", `a\*b`, false}, {"[a]", "[a]", true},
	} {
		if got := matchPattern(c.s, c.pattern); got != c.want {
			t.Errorf("%q and %q: got %v", c.s, c.pattern, got)
		}
	}
	for _, c := range []struct {
		list string
		want int
	}{{"gpu-1", 1}, {"a,gpu-?", 1}, {"a,b", 0}, {"*,!gpu-1", -1}, {"!gpu-1,*", -1}, {"!a,*", 1}, {"!a", 0}, {"", 0}} {
		if got := matchList("gpu-1", c.list); got != c.want {
			t.Errorf("%q: got %d", c.list, got)
		}
	}
}
