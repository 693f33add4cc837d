//go:build !linux

package main

import (
	"fmt"
	"os"
)

func main() {
	fmt.Fprintln(os.Stderr, "bench: the floors are those of Linux: pidfd, epoll and /proc. Run it there.")
	os.Exit(1)
}
