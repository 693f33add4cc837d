package systemd

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"time"

	"golang.org/x/sys/unix"

	"reconciler.dev/reconciler/internal/atomicfile"
	"reconciler.dev/reconciler/pkg/spec"
)

// unitFile is what is in the place of a unit file of ours.
type unitFile struct {
	unit string
	id   fileID
	// text is what it holds, nil where it isn't there or can't be read.
	text []byte
	// stamp is nil where it isn't ours; err says that it is, or may be, and can't be read.
	stamp *spec.Stamp
	err   error
	// intact says that nobody edited what we wrote.
	intact bool
	// masked says that it is a link to /dev/null, as systemctl mask leaves it.
	masked bool
}

// there tells whether anything is in the place.
func (f *unitFile) there() bool { return f.text != nil || f.err != nil || f.masked }

// name is the daemon's; where its stamp can't be read, what the unit's name says.
func (f *unitFile) name() string {
	if f.stamp != nil {
		return f.stamp.Name
	}
	return strings.TrimSuffix(f.unit, ".service")
}

// units reads the directory of unit files. What hasn't changed since it was read is not read again.
type units struct {
	dir string

	mu    sync.Mutex
	cache map[string]*unitFile
}

// read returns what is in the place of a unit.
func (u *units) read(unit string) *unitFile {
	path := filepath.Join(u.dir, unit)
	known := u.cached(unit)
	data, id, err := readSmall(path, known.id)
	switch {
	case err == nil && data == nil && known.id == id:
		return known
	case errors.Is(err, fs.ErrNotExist):
		u.forget(unit)
		return &unitFile{unit: unit}
	case err != nil && masked(path):
		return &unitFile{unit: unit, masked: true}
	case errors.Is(err, unix.ELOOP): // a link to somewhere: somebody else's
		return &unitFile{unit: unit, text: []byte{}}
	case err != nil:
		return &unitFile{unit: unit, err: err}
	}
	f := &unitFile{unit: unit, id: id, text: data, intact: Intact(data)}
	f.stamp, f.err = ParseStamp(data)
	if settled(id) {
		u.mu.Lock()
		defer u.mu.Unlock()
		u.cache[unit] = f
	}
	return f
}

func (u *units) cached(unit string) *unitFile {
	u.mu.Lock()
	defer u.mu.Unlock()
	if f := u.cache[unit]; f != nil {
		return f
	}
	return &unitFile{unit: unit}
}

func (u *units) forget(unit string) {
	u.mu.Lock()
	defer u.mu.Unlock()
	delete(u.cache, unit)
}

// scan returns the unit files that carry our stamp, and those that may and can't be read, by unit. What was seen already it takes as it was.
func (u *units) scan(seen map[string]*unitFile) (map[string]*unitFile, error) {
	entries, err := os.ReadDir(u.dir)
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return nil, err
	}
	found := make(map[string]*unitFile, len(entries))
	for _, e := range entries {
		if !strings.HasSuffix(e.Name(), ".service") || atomicfile.IsTemp(e.Name()) || !e.Type().IsRegular() {
			continue
		}
		if f := seen[e.Name()]; f != nil {
			found[f.unit] = f
			continue
		}
		if f := u.read(e.Name()); f.stamp != nil || f.err != nil && f.text != nil {
			found[f.unit] = f
		}
	}
	return found, nil
}

// masked tells whether a path is a link to /dev/null.
func masked(path string) bool {
	to, err := os.Readlink(path)
	return err == nil && to == "/dev/null"
}

// clockStep is as long as the clock of a file system may stand still: a file that changed within it may change again and look the same.
const clockStep = 20 * time.Millisecond

// settled tells whether a file with that id can't change any more without getting another one.
func settled(id fileID) bool { return time.Now().UnixNano()-id.ctime > int64(clockStep) }
