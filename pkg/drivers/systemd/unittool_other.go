//go:build !linux

package systemd

import (
	"context"
	"io"
)

// Tool does nothing: units are Linux's.
func Tool(context.Context, []string, io.Writer) (status int, called bool) { return 0, false }
