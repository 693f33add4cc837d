package build

import (
	"io/fs"
	"syscall"
)

// identityOf returns the identity of a file; ok is false where it isn't known.
func identityOf(info fs.FileInfo) (id identity, ok bool) {
	if info == nil {
		return identity{}, false
	}
	st, ok := info.Sys().(*syscall.Stat_t)
	if !ok || st.Ino == 0 {
		return identity{}, false
	}
	return identity{device: uint64(st.Dev), inode: st.Ino, size: info.Size(), changed: st.Ctim.Nano()}, true
}
