package drivers

import (
	"io/fs"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"sync"

	"reconciler.dev/reconciler/internal/binstore"
	"reconciler.dev/reconciler/internal/plainfile"
	"reconciler.dev/reconciler/internal/program"
	"reconciler.dev/reconciler/pkg/spec"
)

// images looks at the programs of many daemons in one go. It is safe for concurrent use.
type images struct {
	store *binstore.Store

	mu    sync.Mutex
	files map[string]lookedFile // what stands at a path, looked at once
}

type lookedFile struct {
	info fs.FileInfo
	err  error
}

func newImages(store *binstore.Store) *images {
	return &images{store: store, files: map[string]lookedFile{}}
}

func (im *images) stat(path string) (fs.FileInfo, error) {
	im.mu.Lock()
	defer im.mu.Unlock()
	l, ok := im.files[path]
	if !ok {
		l.info, l.err = os.Stat(path)
		im.files[path] = l
	}
	return l.info, l.err
}

// drift is what is wrong with the program of a daemon: with the file at its place, and with the one that its process runs. What can't be found out is none.
func (im *images) drift(o *spec.Observed) (drift []spec.Drift) {
	s := &o.Stamp.Spec
	if !filepath.IsAbs(s.Binary) {
		return nil
	}
	var seen []binstore.Seen
	if s.Install != nil && s.Install.Digest != "" {
		r, err := im.store.Record(o.Name)
		if err != nil {
			return nil
		}
		seen = r.Seen
		drift = im.atPlace(s, seen)
		return append(drift, im.installed(o, r)...)
	}
	return im.plain(o)
}

// digest is that of a file which was looked at, known by what was placed or read before.
func (im *images) digest(path string, info fs.FileInfo, seen []binstore.Seen) (string, error) {
	if id, ok := binstore.IdentityOf(info); ok {
		for _, s := range seen {
			if s.Identity == id {
				return s.Digest, nil
			}
		}
	}
	return im.store.DigestOf(path)
}

// atPlace compares the file that an installed daemon is started from. To put it back costs no restart.
func (im *images) atPlace(s *spec.Spec, seen []binstore.Seen) (drift []spec.Drift) {
	differ := func(field, want, have string) {
		drift = append(drift, spec.Drift{Field: "spec.install." + field, Want: want, Have: have, Class: spec.Live})
	}
	info, err := os.Lstat(s.Binary)
	switch {
	case os.IsNotExist(err):
		differ("to", s.Install.Digest, "missing")
	case err != nil:
	case !info.Mode().IsRegular():
		differ("to", s.Install.Digest, lookedAt{info: info}.describe())
	default:
		if have, err := im.digest(s.Binary, info, seen); err == nil && have != s.Install.Digest {
			differ("to", s.Install.Digest, have)
		}
		place, err := placeOf(s)
		if err != nil || s.Install.To == "" {
			break
		}
		if want, have := place.Mode, info.Mode()&(fs.ModePerm|fs.ModeSetuid|fs.ModeSetgid|fs.ModeSticky); want != have {
			differ("mode", specMode(want).String(), modeOf(info).String())
		}
		if !owns(place.Owner, info) {
			differ("owner", s.Install.Owner, "another")
		}
	}
	return drift
}

func specMode(m fs.FileMode) spec.Mode {
	mode := spec.Mode(m.Perm())
	for bit, there := range special() {
		if m&there != 0 {
			mode |= bit
		}
	}
	return mode
}

// processImage is the image that a daemon's main process runs.
type processImage struct {
	path string // in /proc
	info fs.FileInfo
}

// from is the path that it was started from, less the mark of a file that has gone; empty where that can't be told.
func (p processImage) from() string {
	link, err := os.Readlink(p.path)
	if err != nil {
		return ""
	}
	return strings.TrimSuffix(link, " (deleted)")
}

// running is the image of the daemon's main process; ok is false where there is none, or it can't be looked at.
func running(o *spec.Observed) (p processImage, ok bool) {
	if o.State != spec.Running || o.Instance == nil || o.Instance.PID <= 0 {
		return p, false
	}
	p.path = "/proc/" + strconv.Itoa(o.Instance.PID) + "/exe"
	info, err := os.Stat(p.path)
	if err != nil || !info.Mode().IsRegular() {
		return p, false
	}
	p.info = info
	return p, true
}

// installed compares what runs with what is installed, by content. A daemon that has executed another program, or is a script, has an image that was never ours: that is left.
func (im *images) installed(o *spec.Observed, r binstore.Record) []spec.Drift {
	p, ok := running(o)
	if !ok {
		return nil
	}
	s := &o.Stamp.Spec
	have, err := im.digest(p.path, p.info, r.Seen)
	if err != nil || have == s.Install.Digest || !r.Names(have) && p.from() != s.Binary || !still(o) {
		return nil
	}
	return []spec.Drift{{Field: "spec.install.digest", Want: s.Install.Digest, Have: have, Class: spec.Restarted}}
}

// plain compares what runs with the file that the daemon was started from. One that can't be executed is no reason to stop what runs: that is said as a loss.
func (im *images) plain(o *spec.Observed) []spec.Drift {
	p, ok := running(o)
	if !ok {
		return nil
	}
	path := o.Stamp.Spec.Binary
	now, err := im.stat(path)
	if err != nil || os.SameFile(now, p.info) || !now.Mode().IsRegular() {
		return nil
	}
	if plainfile.Growing(path) {
		return nil // it is yet to become what it shall be
	}
	if real, err := filepath.EvalSymlinks(path); err != nil || real != p.from() && !turnedSince(path, o.Instance.StartedAt) {
		return nil // it is a script, or has executed another program
	}
	have, want := "", ""
	if have, err = im.digest(p.path, p.info, nil); err == nil {
		want, err = im.digest(path, now, nil)
	}
	if err != nil || have == want || !still(o) {
		return nil
	}
	if found := program.Check(path, program.Options{Path: words(&o.Stamp.Spec, "PATH"), LibraryPath: words(&o.Stamp.Spec, "LD_LIBRARY_PATH")}); found != "" {
		o.Lost = append(o.Lost, spec.Loss{Field: "spec.binary", Reason: "another file was put at " + path + ", and " + found})
		return nil
	}
	return []spec.Drift{{Field: "spec.binary", Want: want, Have: have, Class: spec.Restarted}}
}
