package procfs

import (
	"bytes"
	"fmt"
	"strconv"
)

// ReadUIDs returns the real and the effective user of a process, as proc_pid_status(5) has them. It doesn't go by who owns /proc/PID: that is root for every process that
// isn't dumpable, which any process may become.
func ReadUIDs(pid int) (real, effective uint32, err error) {
	var buf [4096]byte
	text, err := readSmall("/proc/"+strconv.Itoa(pid)+"/status", buf[:])
	if err != nil {
		return 0, 0, gone(pid, err)
	}
	return parseUIDs(text)
}

func parseUIDs(status []byte) (real, effective uint32, err error) {
	_, rest, found := bytes.Cut(status, []byte("\nUid:"))
	line, _, _ := bytes.Cut(rest, []byte("\n"))
	words := bytes.Fields(line)
	if !found || len(words) < 2 {
		return 0, 0, fmt.Errorf("parse status of a process: it has no users")
	}
	var uids [2]uint32
	for i := range uids {
		v, err := strconv.ParseUint(string(words[i]), 10, 32)
		if err != nil {
			return 0, 0, fmt.Errorf("parse status of a process: %q is no user number", words[i])
		}
		uids[i] = uint32(v)
	}
	return uids[0], uids[1], nil
}
