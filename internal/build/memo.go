package build

import (
	"os"
	"sync"
	"time"
)

// memo remembers digests of files for as long as this process lives, so that a look reads only what somebody may have written to since the one before. The zero memo is ready for use.
type memo struct {
	mu    sync.Mutex
	known map[string]remembered // by path
}

type remembered struct {
	id   identity
	file File
}

// identity tells one content of a file from every other: the kernel sets its change time at every write, and nobody can set that.
type identity struct {
	device, inode uint64
	size          int64
	changed       int64 // nanoseconds since 1970
}

// ticks is how old the last change must be for the next one to have another time: file systems count time in ticks.
const ticks = 100 * time.Millisecond

// read digests a regular file.
func (m *memo) read(path string) (File, error) {
	info, err := os.Stat(path)
	if err != nil {
		return File{}, err
	}
	id, ok := identityOf(info)
	m.mu.Lock()
	last, known := m.known[path]
	m.mu.Unlock()
	if ok && known && last.id == id {
		return last.file, nil
	}
	settled := time.Since(time.Unix(0, id.changed)) > ticks
	f, after, err := readFile(path)
	if now, _ := identityOf(after); err == nil && ok && settled && now == id {
		m.mu.Lock()
		defer m.mu.Unlock()
		if m.known == nil {
			m.known = map[string]remembered{}
		}
		m.known[path] = remembered{id, f}
	}
	return f, err
}
