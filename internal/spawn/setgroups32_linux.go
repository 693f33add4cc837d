//go:build 386 || arm

package spawn

import "golang.org/x/sys/unix"

// setgroups takes 32-bit group numbers.
const setgroups = unix.SYS_SETGROUPS32
