package process

import (
	"errors"
	"fmt"
	"hash/maphash"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"time"

	"golang.org/x/sys/unix"

	"reconciler.dev/reconciler/internal/atomicfile"
	"reconciler.dev/reconciler/internal/failpoint"
	"reconciler.dev/reconciler/internal/layout"
	"reconciler.dev/reconciler/internal/procfs"
	"reconciler.dev/reconciler/pkg/drivers"
	"reconciler.dev/reconciler/pkg/spec"
)

// store keeps the records, one file each. Writers hold the daemon's lock; readers need none.
type store struct {
	dir  string
	uid  int
	seed maphash.Seed

	mu    sync.Mutex
	cache map[string]version
	wrote map[string][2]written // the last one and the one before
}

// version is a record as it was in a file.
type version struct {
	rec   *record
	inode uint64
	mtime int64
	// settled says that the file was old enough when it was read for a later change to have another mtime. Where it wasn't, only the content tells.
	settled bool
	hash    uint64
	at      place
}

// written is the version that a store wrote last.
type written struct{ seq, hash uint64 }

// clockStep is more than the kernel's clock for files may lag or repeat itself.
const clockStep = 50 * time.Millisecond

const suffix = ".json"

func newStore(dirs layout.Dirs, kind spec.DriverKind) *store {
	folder := string(kind)
	if kind == spec.DriverProcess {
		folder = "daemons"
	}
	return &store{dir: filepath.Join(dirs.Run, folder), uid: os.Geteuid(), seed: maphash.MakeSeed(), cache: map[string]version{}, wrote: map[string][2]written{}}
}

func (s *store) path(name string) string { return filepath.Join(s.dir, name+suffix) }

// recordName returns whose record a file of the directory is, empty where it is none.
func recordName(file string) string {
	name, ok := strings.CutSuffix(filepath.Base(file), suffix)
	if !ok || !drivers.GoodName(name) {
		return ""
	}
	return name
}

// names lists the daemons that have a record, sorted.
func (s *store) names() ([]string, error) {
	d, err := os.Open(s.dir)
	if errors.Is(err, os.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, fmt.Errorf("list daemons: %w", err)
	}
	defer d.Close()
	files, err := d.Readdirnames(-1)
	if err != nil {
		return nil, fmt.Errorf("list daemons: %w", err)
	}
	names := files[:0]
	for _, f := range files {
		if n := recordName(f); n != "" {
			names = append(names, n)
		}
	}
	slices.Sort(names)
	return names, nil
}

// read returns the record of a daemon, nil where it has none. An unreadable record is an error that says what to do: it is never taken for an absent one.
func (s *store) read(name string) (*record, error) {
	if v := s.known(name); v.settled {
		var st unix.Stat_t
		if err := unix.Lstat(s.path(name), &st); err == nil && v.inode == st.Ino && v.mtime == st.Mtim.Nano() {
			return v.rec, nil
		}
	}
	f, err := s.open(name, unix.O_RDONLY)
	if err == nil && f == nil {
		s.forget(name)
		return nil, nil
	}
	if err == nil {
		defer f.close()
		var rec *record
		if rec, err = s.decode(name, f); err == nil {
			return rec, nil
		}
	}
	return nil, fmt.Errorf("read record %s: %w; nothing was done to the daemon: look whether it runs, end it, and remove the file", s.path(name), err)
}

// decode returns what f holds, from the cache where that is the same.
func (s *store) decode(name string, f *recordFile) (*record, error) {
	if f.payload == nil {
		if f.lost() {
			return nil, nil
		}
		return nil, errors.New("neither of the two versions in it is whole")
	}
	v, hash := s.known(name), maphash.Bytes(s.seed, f.payload)
	if v.rec == nil || v.hash != hash {
		rec, err := decode(name, f.payload)
		if err != nil {
			return nil, err
		}
		v.rec = rec
	}
	s.keep(name, f, version{rec: v.rec, hash: hash})
	return v.rec, nil
}

func (s *store) known(name string) version {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.cache[name]
}

func (s *store) keep(name string, f *recordFile, v version) {
	v.inode, v.mtime = f.st.Ino, f.st.Mtim.Nano()
	v.settled = time.Now().UnixNano()-v.mtime > int64(clockStep)
	v.at = f.place
	s.mu.Lock()
	defer s.mu.Unlock()
	s.cache[name] = v
}

func (s *store) forget(name string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	delete(s.cache, name)
	delete(s.wrote, name)
}

// ours tells whether this store wrote the version that is in the file now.
func (s *store) ours(name string) bool {
	f, err := s.open(name, unix.O_RDONLY)
	if err != nil || f == nil {
		return false
	}
	defer f.close()
	s.mu.Lock()
	defer s.mu.Unlock()
	wrote := s.wrote[name]
	return f.payload != nil && slices.Contains(wrote[:], written{f.seq, maphash.Bytes(s.seed, f.payload)})
}

// writing notes what is about to be written, before anybody can see it.
func (s *store) writing(name string, w written) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.wrote[name] = [2]written{w, s.wrote[name][0]}
}

// write makes rec the record of its daemon, whose lock the caller holds.
func (s *store) write(rec *record) error {
	payload, err := rec.encode()
	if err == nil {
		err = s.put(rec, payload)
	}
	if err != nil {
		return fmt.Errorf("write record %s: %w", s.path(rec.Name), err)
	}
	return nil
}

func (s *store) put(rec *record, payload []byte) error {
	f, err := s.openToWrite(rec.Name)
	if err != nil {
		return err
	}
	if f != nil {
		defer f.close()
	}
	hash := maphash.Bytes(s.seed, payload)
	if f == nil || !f.whole() || headSize+len(payload)+tailSize > f.size {
		s.writing(rec.Name, written{firstSeq, hash})
		return s.create(rec.Name, payload)
	}
	s.writing(rec.Name, written{f.seq + 1, hash})
	failpoint.Hit(failpoint.RecordWrite)
	if err := f.replace(payload); err != nil {
		return err
	}
	failpoint.Hit(failpoint.RecordWritten)
	s.keep(rec.Name, f, version{rec: rec, hash: hash})
	return nil
}

// create puts a new file in place, whole.
func (s *store) create(name string, payload []byte) error {
	err := atomicfile.Write(s.path(name), fresh(payload), 0o600, atomicfile.Volatile)
	if errors.Is(err, os.ErrNotExist) {
		if err := s.makeDir(); err != nil {
			return err
		}
		err = atomicfile.Write(s.path(name), fresh(payload), 0o600, atomicfile.Volatile)
	}
	return err
}

func (s *store) makeDir() error {
	if err := os.MkdirAll(s.dir, 0o700); err != nil {
		return fmt.Errorf("make the directory of records: %w", err)
	}
	return nil
}

// remove removes the record of a daemon, whose lock the caller holds.
func (s *store) remove(name string) error {
	s.forget(name)
	if err := unix.Unlink(s.path(name)); err != nil && err != unix.ENOENT {
		return fmt.Errorf("remove record %s: %w", s.path(name), err)
	}
	return nil
}

// recordFile is an open record.
type recordFile struct {
	slotted
	fd int
	st unix.Stat_t
	// blank says that nothing but zeros is in it.
	blank bool
}

// open opens a record, if it is one that only we can have written; nil where there is none.
func (s *store) open(name string, flags int) (*recordFile, error) {
	return s.openKnown(name, flags, version{})
}

// openToWrite is open for who holds the daemon's lock and replaces what is in the record: where that is known already it isn't read again, and only its place is.
func (s *store) openToWrite(name string) (*recordFile, error) {
	return s.openKnown(name, unix.O_RDWR, s.known(name))
}

func (s *store) openKnown(name string, flags int, v version) (*recordFile, error) {
	fd, err := unix.Open(s.path(name), flags|unix.O_NOFOLLOW|unix.O_NONBLOCK|unix.O_CLOEXEC, 0)
	switch {
	case errors.Is(err, unix.ENOENT):
		return nil, nil
	case errors.Is(err, unix.ELOOP):
		return nil, errors.New("it is a symbolic link")
	case err != nil:
		return nil, err
	}
	f := &recordFile{fd: fd}
	if err = f.check(s.uid); err == nil {
		if v.settled && v.inode == f.st.Ino && v.mtime == f.st.Mtim.Nano() && int64(2*v.at.size) == f.st.Size {
			f.place = v.at
			return f, nil
		}
		err = f.load()
	}
	if err != nil {
		f.close()
		return nil, err
	}
	return f, nil
}

func (f *recordFile) close() { unix.Close(f.fd) }

// check makes sure of where the file comes from.
func (f *recordFile) check(uid int) error {
	if err := unix.Fstat(f.fd, &f.st); err != nil {
		return err
	}
	switch {
	case f.st.Mode&unix.S_IFMT != unix.S_IFREG:
		return errors.New("it is no regular file")
	case f.st.Mode&0o077 != 0:
		return fmt.Errorf("others may read or write it (mode %04o)", f.st.Mode&0o7777)
	case int(f.st.Uid) != uid:
		return fmt.Errorf("it belongs to user %d, and this process runs as user %d", f.st.Uid, uid)
	case f.st.Size > maxRecord:
		return fmt.Errorf("it has %d bytes", f.st.Size)
	}
	return nil
}

// load reads the file.
func (f *recordFile) load() error {
	data := make([]byte, f.st.Size)
	n, err := pread(f.fd, data)
	if err != nil {
		return err
	}
	f.slotted = split(data[:n])
	f.blank = !slices.ContainsFunc(data[:n], func(b byte) bool { return b != 0 })
	return nil
}

// lost tells whether the content fell victim to a loss of power: a file system may keep the name of a new file and lose what was in it. Nothing that such a
// record spoke of has outlived the boot that it is from.
func (f *recordFile) lost() bool {
	booted := time.Now().Add(-procfs.SinceBoot()).UnixNano()
	return f.blank && f.st.Mtim.Nano() < booted
}

// replace writes a version over the older one, and finds out what the file is like then.
func (f *recordFile) replace(payload []byte) error {
	slot := 1 - f.slot
	data := line(f.size, f.seq+1, payload)
	for at := 0; at < len(data); {
		n, err := unix.Pwrite(f.fd, data[at:], int64(slot*f.size+at))
		if err != nil && err != unix.EINTR {
			return err
		}
		at += max(n, 0)
	}
	f.slot, f.seq = slot, f.seq+1
	return unix.Fstat(f.fd, &f.st)
}

// pread fills data from the beginning of a file, as far as that goes.
func pread(fd int, data []byte) (at int, err error) {
	for at < len(data) {
		n, err := unix.Pread(fd, data[at:], int64(at))
		switch {
		case err == unix.EINTR:
		case err != nil || n == 0:
			return at, err
		default:
			at += n
		}
	}
	return at, nil
}
