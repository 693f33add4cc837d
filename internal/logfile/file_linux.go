package logfile

import (
	"os"

	"golang.org/x/sys/unix"
)

// dataStart is where the first data of the file is: see SEEK_DATA in lseek(2). The file's own offset is used by nobody.
func dataStart(f *os.File, size int64) int64 {
	at, err := unix.Seek(int(f.Fd()), 0, unix.SEEK_DATA)
	if err == unix.ENXIO { // nothing but hole
		return size
	}
	if err != nil { // the file system can't tell: then it has no holes either
		return 0
	}
	return at
}
