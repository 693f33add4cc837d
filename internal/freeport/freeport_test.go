package freeport

import (
	"fmt"
	"net"
	"testing"
)

func TestNobodyElseIsGivenThem(t *testing.T) {
	given := map[int]bool{}
	for range 100 {
		n := Ten(t)
		if n < first || n >= first+count || given[n] {
			t.Fatalf("given %d, after %v", n, given)
		}
		given[n] = true
	}
}

func TestPortsAreFree(t *testing.T) {
	n := Ten(t)
	if err := quiet(n); err != nil {
		t.Error(err)
	}
	l, err := net.Listen("tcp", fmt.Sprintf("127.0.0.1:%d3", n))
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	if quiet(n) == nil {
		t.Errorf("somebody listens at %s, and nobody noticed", l.Addr())
	}
}

func TestAnAddressCanBeListenedAt(t *testing.T) {
	l, err := net.Listen("tcp", Address(t))
	if err != nil {
		t.Fatal(err)
	}
	l.Close()
}
