package systemd

import (
	"errors"
	"os"
	"sync"

	"golang.org/x/sys/unix"
)

// listings are the names in directories. A directory that hasn't changed since it was read isn't read again. The zero listings is ready for use, also concurrently.
type listings struct {
	mu  sync.Mutex
	all map[string]listing
}

type listing struct {
	id    fileID
	names map[string]bool // never changed
}

// names are those in a directory, which the caller must not change; none where there is no such directory.
func (l *listings) names(dir string) (map[string]bool, error) {
	var st unix.Stat_t
	if err := unix.Stat(dir, &st); errors.Is(err, unix.ENOENT) {
		return nil, nil
	} else if err != nil {
		return nil, err
	}
	now := idOf(&st)
	last := settled(now) // from before the names are read: what comes later gives the directory another id
	l.mu.Lock()
	defer l.mu.Unlock()
	if known, ok := l.all[dir]; ok && known.id == now {
		return known.names, nil
	}
	f, err := os.Open(dir)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	found, err := f.Readdirnames(-1)
	if err != nil {
		return nil, err
	}
	names := make(map[string]bool, len(found))
	for _, name := range found {
		names[name] = true
	}
	if last {
		if l.all == nil {
			l.all = map[string]listing{}
		}
		l.all[dir] = listing{now, names}
	}
	return names, nil
}
