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

	"reconciler.dev/reconciler/internal/failpoint"
	"reconciler.dev/reconciler/internal/layout"
)

// store keeps the records, one file each. Writers hold the daemon's lock; readers need none, because a file is replaced whole.
type store struct {
	dir  string // the records
	temp string // where they are written, on the same file system, so that a watch on dir sees whole records only
	uid  int

	seed  maphash.Seed
	mu    sync.Mutex
	cache map[string]version
}

// version is a record as it was in a file.
type version struct {
	rec   *record
	inode uint64
	size  int64
	mtime int64
	// settled says that the file was old enough when it was read for a later change to have another mtime. Where it wasn't, only the content tells.
	settled bool
	hash    uint64
	// ours says that this store wrote it.
	ours bool
}

// clockStep is more than the kernel's clock for files may lag or repeat itself.
const clockStep = 50 * time.Millisecond

const suffix = ".json"

func newStore(dirs layout.Dirs) *store {
	return &store{dir: filepath.Join(dirs.Run, "daemons"), temp: filepath.Join(dirs.Run, "tmp"), uid: os.Geteuid(), seed: maphash.MakeSeed(), cache: map[string]version{}}
}

func (s *store) path(name string) string { return filepath.Join(s.dir, name+suffix) }

// name returns whose record a file of the directory is, empty where it is none.
func recordName(file string) string {
	name, ok := strings.CutSuffix(filepath.Base(file), suffix)
	if !ok || strings.HasPrefix(name, ".") {
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
	path := s.path(name)
	if v := s.known(name); v.settled {
		var st unix.Stat_t
		if err := unix.Lstat(path, &st); err == nil && v.same(&st) {
			return v.rec, nil
		}
	}
	rec, err := s.load(name, path)
	if err != nil {
		return nil, fmt.Errorf("read record %s: %w; nothing was done to the daemon: look whether it runs, end it, and remove the file", path, err)
	}
	return rec, nil
}

func (v version) same(st *unix.Stat_t) bool {
	return v.inode == st.Ino && v.size == st.Size && v.mtime == st.Mtim.Nano()
}

// load reads the file, if it is one that only we can have written.
func (s *store) load(name, path string) (*record, error) {
	fd, err := unix.Open(path, unix.O_RDONLY|unix.O_NOFOLLOW|unix.O_NONBLOCK|unix.O_CLOEXEC, 0)
	switch err {
	case nil:
	case unix.ENOENT:
		s.forget(name)
		return nil, nil
	case unix.ELOOP:
		return nil, errors.New("it is a symbolic link")
	default:
		return nil, err
	}
	defer unix.Close(fd)
	var st unix.Stat_t
	if err := unix.Fstat(fd, &st); err != nil {
		return nil, err
	}
	switch {
	case st.Mode&unix.S_IFMT != unix.S_IFREG:
		return nil, errors.New("it is no regular file")
	case st.Mode&0o077 != 0:
		return nil, fmt.Errorf("others may read or write it (mode %04o)", st.Mode&0o7777)
	case int(st.Uid) != s.uid:
		return nil, fmt.Errorf("it belongs to user %d, and this process runs as user %d", st.Uid, s.uid)
	case st.Size > maxRecord:
		return nil, fmt.Errorf("it has %d bytes", st.Size)
	}
	data, err := readFull(fd, int(st.Size))
	if err != nil {
		return nil, err
	}
	v, hash := s.known(name), maphash.Bytes(s.seed, data)
	if v.rec == nil || v.hash != hash {
		v = version{}
		if v.rec, err = decode(name, data); err != nil {
			return nil, err
		}
	}
	s.keep(name, v.rec, &st, hash, v.ours)
	return v.rec, nil
}

func readFull(fd, size int) ([]byte, error) {
	data := make([]byte, size)
	for at := 0; at < size; {
		n, err := unix.Read(fd, data[at:])
		switch {
		case err == unix.EINTR:
		case err != nil:
			return nil, err
		case n == 0:
			return data[:at], nil
		default:
			at += n
		}
	}
	return data, nil
}

func (s *store) known(name string) version {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.cache[name]
}

func (s *store) keep(name string, rec *record, st *unix.Stat_t, hash uint64, ours bool) {
	age := time.Now().UnixNano() - st.Mtim.Nano()
	s.mu.Lock()
	defer s.mu.Unlock()
	s.cache[name] = version{rec: rec, inode: st.Ino, size: st.Size, mtime: st.Mtim.Nano(), settled: age > int64(clockStep), hash: hash, ours: ours}
}

func (s *store) forget(name string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	delete(s.cache, name)
}

// ours tells whether the record in the file now is the one this store wrote last.
func (s *store) ours(name string) bool {
	var st unix.Stat_t
	if err := unix.Lstat(s.path(name), &st); err != nil {
		return false
	}
	v := s.known(name)
	return v.ours && v.same(&st)
}

// write replaces the record of a daemon, whose lock the caller holds.
func (s *store) write(rec *record) error {
	data, err := rec.encode()
	if err != nil {
		return err
	}
	st, err := s.replace(rec.Name, data)
	if errors.Is(err, os.ErrNotExist) {
		if err := s.makeDirs(); err != nil {
			return err
		}
		st, err = s.replace(rec.Name, data)
	}
	if err != nil {
		return fmt.Errorf("write record %s: %w", s.path(rec.Name), err)
	}
	s.keep(rec.Name, rec, &st, maphash.Bytes(s.seed, data), true)
	return nil
}

func (s *store) makeDirs() error {
	for _, dir := range []string{s.dir, s.temp} {
		if err := os.MkdirAll(dir, 0o700); err != nil {
			return fmt.Errorf("make the directory of records: %w", err)
		}
	}
	return nil
}

// replace writes the file under a name of its own, which no two writers share because both would need the lock, and renames it.
func (s *store) replace(name string, data []byte) (st unix.Stat_t, err error) {
	temp := filepath.Join(s.temp, name+suffix)
	fd, err := unix.Open(temp, unix.O_WRONLY|unix.O_CREAT|unix.O_TRUNC|unix.O_NOFOLLOW|unix.O_CLOEXEC, 0o600)
	if err != nil {
		return st, err
	}
	err = writeFull(fd, data)
	if err == nil {
		err = unix.Fstat(fd, &st)
	}
	if closeErr := unix.Close(fd); err == nil {
		err = closeErr
	}
	if err != nil {
		return st, err
	}
	failpoint.Hit(failpoint.RecordTemp)
	err = unix.Rename(temp, s.path(name))
	failpoint.Hit(failpoint.RecordRenamed)
	return st, err
}

func writeFull(fd int, data []byte) error {
	for len(data) > 0 {
		n, err := unix.Write(fd, data)
		if err != nil && err != unix.EINTR {
			return err
		}
		data = data[max(n, 0):]
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
