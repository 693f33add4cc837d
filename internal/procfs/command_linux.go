package procfs

import (
	"bytes"
	"strconv"
)

// maxCommand is how much of a command line is read.
const maxCommand = 64 << 10

// CommandLine returns the arguments of a process, its own name first, as it has them now: it may have written over them. They are cut where they are very long. A process of the kernel has
// none. The error wraps ErrGone where there is no such process.
func CommandLine(pid int) ([]string, error) {
	buf := make([]byte, maxCommand)
	text, err := readSmall("/proc/"+strconv.Itoa(pid)+"/cmdline", buf)
	if err != nil {
		return nil, gone(pid, err)
	}
	return splitZeros(text), nil
}

// splitZeros takes a list apart in which each string ends with a zero byte.
func splitZeros(text []byte) (all []string) {
	text = bytes.TrimSuffix(text, []byte{0})
	if len(text) == 0 {
		return nil
	}
	for word := range bytes.SplitSeq(text, []byte{0}) {
		all = append(all, string(word))
	}
	return all
}
