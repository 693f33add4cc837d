package binstore

import (
	"io/fs"
	"time"
)

// Identity tells one content of one file from every other: it is another one once somebody writes to the file, or puts another in its place. It is no proof against who may
// set a file's time.
type Identity struct {
	Device uint64 `json:"device"`
	Inode  uint64 `json:"inode"`
	Size   int64  `json:"size"`
	// Time is that of its last change, in nanoseconds since 1970.
	Time int64 `json:"time"`
}

// settledAge is how old a file's last change must be for its content to be known by its time: a change right after the look might leave the same time behind, because file
// systems count time in ticks.
const settledAge = 100 * time.Millisecond

func (id Identity) settled() bool { return time.Since(time.Unix(0, id.Time)).Abs() > settledAge }

// is tells whether info is of that content.
func (id Identity) is(info fs.FileInfo) bool {
	now, ok := IdentityOf(info)
	return ok && now == id
}
