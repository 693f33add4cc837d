package filewatch

import (
	"slices"

	"golang.org/x/sys/unix"
)

// remoteTypes are the file systems that others can change behind this kernel's back, see statfs(2): inotify(7) doesn't tell of that.
func remoteTypes() []int64 {
	return []int64{
		unix.NFS_SUPER_MAGIC, unix.SMB_SUPER_MAGIC, unix.SMB2_SUPER_MAGIC, unix.CIFS_SUPER_MAGIC, unix.FUSE_SUPER_MAGIC, unix.V9FS_MAGIC,
		unix.CEPH_SUPER_MAGIC, unix.AFS_SUPER_MAGIC, unix.CODA_SUPER_MAGIC, unix.NCP_SUPER_MAGIC,
	}
}

// isRemote says whether a folder may change without this kernel knowing.
func isRemote(dir string) bool {
	var st unix.Statfs_t
	return unix.Statfs(dir, &st) == nil && slices.Contains(remoteTypes(), int64(uint32(st.Type)))
}
