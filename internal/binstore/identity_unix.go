//go:build unix

package binstore

import (
	"io/fs"
	"syscall"
)

// IdentityOf is the identity of a file; ok is false where the file system doesn't tell.
func IdentityOf(info fs.FileInfo) (id Identity, ok bool) {
	st, ok := info.Sys().(*syscall.Stat_t)
	if !ok || st.Ino == 0 {
		return Identity{}, false
	}
	return Identity{Device: uint64(st.Dev), Inode: st.Ino, Size: info.Size(), Time: info.ModTime().UnixNano()}, true
}
