//go:build unix

package main

import "syscall"

// setUmask makes the modes of what is written those that the code asks for, whatever umask the caller came with.
func setUmask() { syscall.Umask(0o022) }
