//go:build !linux

package plainfile

import "context"

// Unwritten does nothing here.
func Unwritten(context.Context, string) error { return nil }

// Growing can't be told here.
func Growing(string) bool { return false }
