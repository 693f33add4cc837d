package bootstrap

import (
	"strconv"
	"strings"
)

// facts are what probeScript found on a host. All text in them is the host's.
type facts struct {
	platform   Platform
	user       string
	gzip, sudo bool

	// file is where the agent is on the host, empty where it isn't; sum is what cksum says of it, head its first bytes.
	file, sum, head string
	// inert is the file's mode, as ls shows it, where the account can't execute it, be it for the mode or for the file system; empty where it can.
	inert string

	// folder is where it would be copied to.
	folder string
	// unwritable is why nothing can be written there, noexec why nothing there can be executed, both empty where it can.
	unwritable, noexec string
	// free is how many bytes are free there; -1 where that wasn't told.
	free  int64
	parts []part
}

// part is what a copy that was cut off left: the number in its name, its size, and what cksum says of it.
type part struct {
	id   string
	size int64
	sum  string
}

// mostParts bounds the parts that are looked at: each costs a read of that much of the program.
const mostParts = 4

// add takes one line of the script, its first word apart. Unknown words are passed over.
func (f *facts) add(key, value string) {
	switch key {
	case "user":
		f.user = value
	case "system":
		system, machine, _ := strings.Cut(value, " ")
		f.platform = unamePlatform(system, strings.TrimSpace(machine))
	case "gzip":
		f.gzip = true
	case "sudo":
		f.sudo = true
	case "file":
		f.file = value
	case "sum":
		f.sum = value
	case "head":
		f.head = value
	case "inert":
		f.inert, _, _ = strings.Cut(reason(value), " ")
	case "folder":
		f.folder = value
	case "unwritable":
		f.unwritable = reason(value)
	case "noexec":
		f.noexec = reason(value)
	case "free":
		f.free = freeOf(value)
	case "part":
		f.addPart(value)
	}
}

// reason is a message that a shell or a program gave, or that it gave none.
func reason(value string) string {
	if value == "" {
		return "no reason was given"
	}
	return value
}

func (f *facts) addPart(value string) {
	id, sum, _ := strings.Cut(value, " ")
	_, size, _ := strings.Cut(sum, " ")
	n, err := strconv.ParseInt(size, 10, 64)
	if _, idErr := strconv.ParseUint(id, 10, 32); err != nil || idErr != nil || n <= 0 || len(f.parts) == mostParts {
		return
	}
	f.parts = append(f.parts, part{id: id, size: n, sum: sum})
}

// freeOf reads a line of df -Pk: the column before the one with the percent sign is the free space in KiB. Names with blanks stand on both sides of them.
func freeOf(line string) int64 {
	columns := strings.Fields(line)
	for i := len(columns) - 1; i > 0; i-- {
		if strings.HasSuffix(columns[i], "%") {
			if n, err := strconv.ParseInt(columns[i-1], 10, 64); err == nil && n >= 0 && n < 1<<50 {
				return n * 1024
			}
		}
	}
	return -1
}
