// Package freeport finds ports for the daemons of tests and measurements that have to be told one.
//
// A port that the kernel chose may be somebody else's once it is let go of, and while nothing listens there, who connects to it again and again is in the end given that very port to connect
// from, and talks to himself. These lie below those that the kernel chooses from (ip_local_port_range in ip(7)), and are given to nobody else meanwhile, in whichever process. No daemon that is
// anybody's may be told one: that they are free is known for the moment only.
package freeport

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"net"
	"testing"
)

// The tens of ports that there are.
const (
	first = 2000
	count = 800
)

// Take returns n such that nothing listens on the ports 10n to 10n+8 of this machine, and that isn't returned again, to whomever, until release is called. What keeps others away is that
// something listens on the port 10n+9 of the loopback: it ends with this process.
func Take() (n int, release func(), err error) {
	for _, i := range rand.Perm(count) { // so that two who look at once seldom look at the same
		if held, err := hold(first + i); err == nil {
			return first + i, func() { held.Close() }, nil
		}
	}
	return 0, nil, errors.New("find a free port: everything listens from 20000 to 27999, or this machine has no loopback")
}

func hold(n int) (held net.Listener, err error) {
	if held, err = net.Listen("tcp", fmt.Sprintf("127.0.0.1:%d9", n)); err != nil {
		return nil, err
	}
	if err := quiet(n); err != nil {
		held.Close()
		return nil, err
	}
	return held, nil
}

// quiet returns an error where somebody listens on one of the ports 10n to 10n+8.
func quiet(n int) error {
	for port := 10 * n; port < 10*n+9; port++ {
		l, err := net.Listen("tcp", fmt.Sprintf(":%d", port))
		if err != nil {
			return err
		}
		l.Close()
	}
	return nil
}

// Ten is Take for a test, until that ends.
func Ten(t testing.TB) int {
	t.Helper()
	n, release, err := Take()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(release)
	return n
}

// Port is one port for a test, until that ends.
func Port(t testing.TB) int {
	t.Helper()
	return 10 * Ten(t)
}

// Address is one of the loopback for a test, until that ends.
func Address(t testing.TB) string {
	t.Helper()
	return fmt.Sprintf("127.0.0.1:%d", Port(t))
}
