package binstore

import "golang.org/x/sys/unix"

// freeSpace is how many bytes may still be written in a folder.
func freeSpace(dir string) (free int64, known bool) {
	var st unix.Statfs_t
	if err := unix.Statfs(dir, &st); err != nil {
		return 0, false
	}
	return int64(st.Bavail) * int64(st.Bsize), true // int32 on 32 bits
}
