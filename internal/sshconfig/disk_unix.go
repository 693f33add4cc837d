//go:build unix

package sshconfig

import (
	"fmt"
	"os"
	"syscall"
)

// checkPrivate refuses a file that somebody other than root and the user may write.
func checkPrivate(f *os.File) error {
	info, err := f.Stat()
	if err != nil {
		return err
	}
	if stat, ok := info.Sys().(*syscall.Stat_t); ok && stat.Uid != 0 && int(stat.Uid) != os.Getuid() {
		return fmt.Errorf("%s belongs to the user with id %d, so it isn't used, as ssh wouldn't: it has to be yours, or root's", f.Name(), stat.Uid)
	}
	if info.Mode().Perm()&0o022 != 0 {
		return fmt.Errorf("%s may be written by others (mode %04o), so it isn't used, as ssh wouldn't:  chmod go-w %[1]s", f.Name(), info.Mode().Perm())
	}
	return nil
}
