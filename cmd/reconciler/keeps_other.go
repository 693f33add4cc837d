//go:build !linux

package main

import "reconciler.dev/reconciler/internal/layout"

// keepsOf is Facts.Keeps of this machine: it can't be told here.
func keepsOf(layout.Dirs) string { return "" }
