//go:build !linux

package program

func noexec(string) bool { return false }
