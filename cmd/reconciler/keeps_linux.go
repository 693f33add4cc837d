package main

import (
	"crypto/sha256"
	"encoding/hex"
	"fmt"

	"golang.org/x/sys/unix"

	"reconciler.dev/reconciler/internal/layout"
	"reconciler.dev/reconciler/internal/procfs"
)

// keepsOf is Facts.Keeps of this machine. A boot is one machine's; hosts that share a kernel, as containers do, have roots of their own; and users have state directories of
// their own.
func keepsOf(dirs layout.Dirs) string {
	boot, err := procfs.BootID()
	if err != nil {
		return ""
	}
	var root unix.Stat_t
	if err := unix.Stat("/", &root); err != nil {
		return ""
	}
	sum := sha256.Sum256(fmt.Appendf(nil, "%s %d %d %s", boot, root.Dev, root.Ino, dirs.State))
	return hex.EncodeToString(sum[:16])
}
