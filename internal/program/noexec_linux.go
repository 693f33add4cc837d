package program

import "golang.org/x/sys/unix"

// noexec tells whether nothing on that file's file system may be executed: see statfs(2).
func noexec(path string) bool {
	var st unix.Statfs_t
	return unix.Statfs(path, &st) == nil && st.Flags&unix.ST_NOEXEC != 0
}
