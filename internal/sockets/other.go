//go:build !linux

package sockets

import (
	"context"
	"os"
)

// Main does nothing: only Linux has drivers that need a holder.
func Main(context.Context, []string, *os.File) (status int, called bool) { return 0, false }
