//go:build unix

package binstore

import (
	"io/fs"
	"syscall"

	"reconciler.dev/reconciler/internal/atomicfile"
)

// owns tells whether a file belongs to whom it shall.
func owns(o atomicfile.Owner, info fs.FileInfo) bool {
	st, ok := info.Sys().(*syscall.Stat_t)
	return ok && (o.UID < 0 || uint32(o.UID) == st.Uid) && (o.GID < 0 || uint32(o.GID) == st.Gid)
}
