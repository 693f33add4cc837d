package main

import (
	"bytes"
	"os"
	"strings"
	"testing"
)

// The floors are what everything is compared with, so they must measure what they say.
func TestFloorsOfAFew(t *testing.T) {
	var out bytes.Buffer
	b := &bench{n: 5, few: 3, rounds: 2, kills: 2, drivers: "process", out: &out}
	if err := b.run(t.Context()); err != nil {
		t.Fatalf("%v\n%s", err, out.String())
	}
	for _, line := range []string{"fork and exec of 5", "signal and wait of 5", "kill -9 to the replacement's main(), 3 running"} {
		if !strings.Contains(out.String(), line) {
			t.Errorf("no line %q:\n%s", line, out.String())
		}
	}
	if _, err := os.Stat(b.dir); !os.IsNotExist(err) {
		t.Errorf("%s is left: %v", b.dir, err)
	}
}

func TestCostOfThisProcess(t *testing.T) {
	c, err := costOf(os.Getpid())
	if err != nil {
		t.Fatal(err)
	}
	if c.cpu <= 0 || c.pss < 1000 || c.threads < 2 {
		t.Errorf("got %+v", c)
	}
}

func TestNonsenseIsRefused(t *testing.T) {
	for _, b := range []bench{
		{n: 5, few: 5, rounds: 1, kills: 1},
		{n: 5, few: 3, rounds: 1, kills: 4},
		{n: 5, few: 3, rounds: 0, kills: 1},
		{n: 5, few: 3, rounds: 1, kills: 0},
	} {
		if err := b.run(t.Context()); err == nil || b.dir != "" {
			t.Errorf("%+v: %v", b, err)
		}
	}
}
