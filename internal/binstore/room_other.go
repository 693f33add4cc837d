//go:build !linux

package binstore

import "context"

func freeSpace(string) (free int64, known bool) { return 0, false }

func unwritten(context.Context, string) error { return nil }
