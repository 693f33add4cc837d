package systemd

import (
	"crypto/sha256"
	"encoding/hex"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"time"

	"golang.org/x/sys/unix"
)

// around is what stands beside the unit files: read once for a look at many daemons, asked for each in a look at few.
type around struct {
	s    *scope
	read *listings
	// bulk says to read whole directories.
	bulk bool
	mu   sync.Mutex
	dirs map[string]map[string]bool
}

// few is how many daemons are looked at one by one.
const few = 8

func (d *Driver) lookAround(n int) *around {
	return &around{s: &d.scope, read: &d.listings, bulk: n > few, dirs: map[string]map[string]bool{}}
}

// has tells whether a directory has an entry of that name.
func (a *around) has(dir, name string) bool {
	if !a.bulk {
		_, err := os.Lstat(filepath.Join(dir, name))
		return err == nil
	}
	a.mu.Lock()
	defer a.mu.Unlock()
	entries, read := a.dirs[dir]
	if !read {
		entries, _ = a.read.names(dir) // what can't be read has nothing that systemd could read as this user
		a.dirs[dir] = entries
	}
	return entries[name]
}

// editable are the directories in which somebody may have put settings over those of our unit files: systemctl edit and set-property, for good and until the next boot.
func (s *scope) editable() []string {
	run := s.below[1]
	return []string{s.units, run, s.above[0], s.above[1]}
}

// dropIn is a file with settings that go over those of a unit file.
type dropIn struct {
	path string
	// since is when it was put there.
	since time.Time
}

// dropIns are those of a unit; those of ours, by their digest, are left out.
func (a *around) dropIns(unit, ours string) []dropIn {
	var found []dropIn
	for _, dir := range a.s.editable() {
		if !a.has(dir, unit+".d") {
			continue
		}
		in := filepath.Join(dir, unit+".d")
		if dir == a.s.control() && ours != "" && digestDir(in) == ours {
			continue
		}
		for _, path := range confFiles(in) {
			var st unix.Stat_t
			if unix.Lstat(path, &st) == nil {
				found = append(found, dropIn{path, time.Unix(0, st.Ctim.Nano())})
			}
		}
	}
	return found
}

// confFiles are the drop-ins in a directory, sorted.
func confFiles(dir string) []string {
	entries, _ := os.ReadDir(dir)
	var found []string
	for _, e := range entries {
		if strings.HasSuffix(e.Name(), ".conf") {
			found = append(found, filepath.Join(dir, e.Name()))
		}
	}
	slices.Sort(found)
	return found
}

// digestDir tells one content of a directory of drop-ins from another; empty where there is none.
func digestDir(dir string) string {
	files := confFiles(dir)
	if len(files) == 0 {
		return ""
	}
	sum := sha256.New()
	for _, path := range files {
		data, err := os.ReadFile(path)
		if err != nil {
			return ""
		}
		sum.Write([]byte(filepath.Base(path)))
		sum.Write([]byte{0})
		sum.Write(data)
		sum.Write([]byte{0})
	}
	return hex.EncodeToString(sum.Sum(nil))
}
