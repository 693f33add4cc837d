//go:build unix

package sshconfig

import (
	"fmt"
	"os"
	"slices"
	"strconv"
	"strings"
	"syscall"
)

// checkPrivate refuses a file that somebody other than root and the user may write. The group may where nobody else is in it, as Debian's ssh has it: there, each
// user has such a group, and editors leave its files group-writable.
func checkPrivate(f *os.File) error {
	info, err := f.Stat()
	if err != nil {
		return err
	}
	stat, ok := info.Sys().(*syscall.Stat_t)
	mode := info.Mode().Perm()
	switch {
	case ok && stat.Uid != 0 && int(stat.Uid) != os.Getuid():
		return fmt.Errorf("%s belongs to the user with id %d, so it isn't used, as ssh wouldn't: it has to be yours, or root's", f.Name(), stat.Uid)
	case mode&0o002 != 0, mode&0o020 != 0 && !(ok && alone("/etc/passwd", "/etc/group", os.Getuid(), stat.Gid)):
		return fmt.Errorf("%s may be written by others (mode %04o), so it isn't used, as ssh wouldn't:  chmod go-w %[1]s", f.Name(), mode)
	}
	return nil
}

// alone says whether a group of passwd(5) and group(5) has the user in it, and nobody else. What isn't in the files can't be told.
func alone(passwd, group string, uid int, gid uint32) bool {
	number := strconv.FormatUint(uint64(gid), 10)
	users, err := os.ReadFile(passwd)
	if err != nil {
		return false
	}
	var me string
	var members []string
	for l := range strings.Lines(string(users)) {
		fields := strings.Split(l, ":")
		if len(fields) < 4 {
			continue
		}
		if fields[2] == strconv.Itoa(uid) && me == "" {
			me = fields[0]
		}
		if fields[3] == number {
			members = append(members, fields[0])
		}
	}
	groups, err := os.ReadFile(group)
	if err != nil {
		return false
	}
	for l := range strings.Lines(string(groups)) {
		if fields := strings.Split(strings.TrimSpace(l), ":"); len(fields) == 4 && fields[2] == number {
			members = append(members, strings.FieldsFunc(fields[3], func(r rune) bool { return r == ',' })...)
		}
	}
	return me != "" && len(members) > 0 && !slices.ContainsFunc(members, func(m string) bool { return m != me })
}
