// Package artifact finds programs that weren't built here: in files, behind URLs, and as members of archives of either. What had to be fetched or unpacked is kept in a cache, by its content.
//
// It must never hand out a content of which the digest isn't known to be right, follow a redirect out of https, or write what a name inside an archive says. Whatever is wrong with the cache
// costs a download and nothing else.
package artifact

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"time"

	"reconciler.dev/reconciler/internal/atomicfile"
	"reconciler.dev/reconciler/internal/flock"
)

// Source is where a program comes from: a file or a URL.
type Source struct {
	// File is an absolute path.
	File string
	// URL is an https URL. SHA256 must be set then.
	URL string
	// SHA256 is what the file, or what is behind the URL, must have: 64 hex digits. Empty: anything.
	SHA256 string
	// Format is tar.gz, tar, zip or gz where that is an archive, and Member the path in it of the program. A gz has no members.
	Format, Member string
}

// String is the source as messages call it.
func (s Source) String() string {
	from := s.File
	if from == "" {
		from = s.URL
	}
	if s.Member != "" {
		return s.Member + " in " + from
	}
	return from
}

// Program is a program as far as it is known.
type Program struct {
	// Digest is "sha256:" and the hex digest of its content; empty where that isn't known before it is fetched.
	Digest string
	// Size is in bytes, and Path is a file with the content; neither is set where Missing is.
	Size int64
	Path string
	// Missing says why Get has something to do.
	Missing string
}

// Options say where a Cache keeps things, and how it fetches them.
type Options struct {
	// Dir is the folder of the cache. It is made when it is needed.
	Dir string
	// Client fetches. Nil: one that follows redirects within https and gives up on servers that say nothing for a while.
	Client *http.Client
	// Progress is told how much of a download has come, now and then; size is -1 where it isn't known. May be nil.
	Progress func(url string, have, size int64)
}

// Cache finds programs. It may be used by any number of goroutines, and of processes with the same folder.
type Cache struct {
	o    Options
	wait time.Duration // before the second try of a download; it doubles
}

// New returns a Cache. It makes nothing yet.
func New(o Options) *Cache {
	if o.Client == nil {
		o.Client = newClient()
	}
	if o.Progress == nil {
		o.Progress = func(string, int64, int64) {}
	}
	return &Cache{o, firstWait}
}

// Look says what is known of a program without fetching or writing anything.
func (c *Cache) Look(ctx context.Context, s Source) (Program, error) {
	whole, err := c.lookWhole(ctx, s)
	if err != nil || s.Format == "" {
		return whole, err
	}
	known := c.memberOf(whole.Digest, s)
	switch {
	case known.Digest != "":
		return c.cached(ctx, known, s)
	case whole.Missing != "":
		return Program{Missing: whole.Missing}, nil
	}
	return Program{Missing: "it wasn't unpacked yet: " + s.String()}, nil
}

// lookWhole is Look for the archive, where the program is in one.
func (c *Cache) lookWhole(ctx context.Context, s Source) (Program, error) {
	if s.File == "" {
		return c.cached(ctx, Program{Digest: prefix + s.SHA256}, s)
	}
	digest, size, err := digestOf(ctx, s.File)
	if err != nil {
		return Program{}, fmt.Errorf("look at %s: %w", s.File, err)
	}
	if s.SHA256 != "" && digest != prefix+s.SHA256 {
		return Program{}, fmt.Errorf("look at %s: it has SHA-256 %s, and install.sha256 says %s", s.File, strings.TrimPrefix(digest, prefix), s.SHA256)
	}
	return Program{Digest: digest, Size: size, Path: s.File}, nil
}

// prefix is how digests begin.
const prefix = "sha256:"

// cached completes a program of which the digest is known with its content, where the cache has it.
func (c *Cache) cached(ctx context.Context, p Program, s Source) (Program, error) {
	path := c.path(p.Digest)
	digest, size, err := digestOf(ctx, path)
	switch {
	case ctx.Err() != nil:
		return Program{}, ctx.Err()
	case err != nil || digest != p.Digest: // as good as absent: it is fetched again
		return Program{Digest: p.Digest, Missing: "it isn't here yet: " + s.String()}, nil
	}
	return Program{Digest: digest, Size: size, Path: path}, nil
}

func (c *Cache) path(digest string) string {
	return filepath.Join(c.o.Dir, strings.TrimPrefix(digest, prefix))
}

// Get returns a program with its content, which is fetched and unpacked where that is still to be done. Of several that want the same, one does the work.
func (c *Cache) Get(ctx context.Context, s Source) (Program, error) {
	p, err := c.Look(ctx, s)
	if err != nil {
		return p, err
	}
	if p.Missing == "" {
		c.used(p)
		return p, nil
	}
	if err := os.MkdirAll(c.o.Dir, 0o700); err != nil {
		return p, fmt.Errorf("make the folder for programs from elsewhere: %w", err)
	}
	lock, err := flock.LockNamed(ctx, filepath.Join(c.o.Dir, "lock"), s.URL+"\x00"+s.File+"\x00"+s.SHA256)
	if err != nil {
		return p, fmt.Errorf("get %s: %w", s, err)
	}
	defer lock.Release()
	if p, err = c.Look(ctx, s); err != nil || p.Missing == "" {
		return p, err // somebody else got it meanwhile
	}
	c.sweep()
	whole, err := c.lookWhole(ctx, s)
	if err == nil && whole.Missing != "" {
		err = c.download(ctx, s)
	}
	if err != nil {
		return p, err
	}
	if s.Format != "" {
		return c.unpack(ctx, s)
	}
	return c.Look(ctx, s)
}

// unpack takes the member out of an archive that is here.
func (c *Cache) unpack(ctx context.Context, s Source) (Program, error) {
	whole, err := c.lookWhole(ctx, s)
	if err != nil {
		return Program{}, err
	}
	out, err := os.CreateTemp(c.o.Dir, "unpack-")
	if err != nil {
		return Program{}, fmt.Errorf("unpack %s: %w", s, err)
	}
	defer os.Remove(out.Name()) // it has moved where all went well
	defer out.Close()
	in, err := os.Open(whole.Path)
	if err != nil {
		return Program{}, fmt.Errorf("unpack %s: %w", s, err)
	}
	defer in.Close()
	sum := sha256.New()
	n, err := extract(in, whole.Size, s.Format, s.Member, io.MultiWriter(out, sum, alive(ctx.Err)))
	if err == nil {
		err = out.Close()
	}
	if err != nil {
		return Program{}, fmt.Errorf("unpack %s: %w", s, err)
	}
	p := Program{Digest: prefix + hex.EncodeToString(sum.Sum(nil)), Size: n}
	p.Path = c.path(p.Digest)
	if err := os.Rename(out.Name(), p.Path); err != nil {
		return Program{}, fmt.Errorf("unpack %s: %w", s, err)
	}
	if err := atomicfile.Write(c.note(whole.Digest, s), []byte(p.Digest), 0o600, atomicfile.Volatile); err != nil {
		return Program{}, fmt.Errorf("unpack %s: %w", s, err)
	}
	return p, nil
}

// note is the file that says which program was in an archive.
func (c *Cache) note(archive string, s Source) string {
	sum := sha256.Sum256([]byte(archive + "\x00" + s.Format + "\x00" + s.Member))
	return filepath.Join(c.o.Dir, hex.EncodeToString(sum[:])+noteSuffix)
}

const noteSuffix = ".member"

// memberOf is the program that was in an archive, as far as that is remembered.
func (c *Cache) memberOf(archive string, s Source) Program {
	text, err := os.ReadFile(c.note(archive, s))
	digits, ok := strings.CutPrefix(string(text), prefix)
	if _, bad := hex.DecodeString(digits); err != nil || !ok || bad != nil || len(digits) != 2*sha256.Size {
		return Program{}
	}
	return Program{Digest: prefix + digits}
}

// unused is how long something stays in the cache that nobody asks for.
const unused = 30 * 24 * time.Hour

// used says that something of the cache is in use.
func (c *Cache) used(p Program) {
	if filepath.Dir(p.Path) == filepath.Clean(c.o.Dir) {
		now := time.Now()
		_ = os.Chtimes(p.Path, now, now) // at worst it is fetched again in a month
	}
}

// sweep removes what nobody has asked for in a long time.
func (c *Cache) sweep() {
	entries, _ := os.ReadDir(c.o.Dir) // one that can't be read isn't swept
	for _, e := range entries {
		if info, err := e.Info(); err == nil && info.Mode().IsRegular() && time.Since(info.ModTime()) > unused && e.Name() != "lock" {
			_ = os.Remove(filepath.Join(c.o.Dir, e.Name()))
		}
	}
}

// digestOf digests a regular file.
func digestOf(ctx context.Context, path string) (digest string, size int64, err error) {
	info, err := os.Stat(path)
	if err != nil {
		return "", 0, innermost(err)
	}
	if !info.Mode().IsRegular() {
		return "", 0, errors.New("this is not a regular file")
	}
	f, err := os.Open(path)
	if err != nil {
		return "", 0, innermost(err)
	}
	defer f.Close()
	sum := sha256.New()
	size, err = io.Copy(io.MultiWriter(sum, alive(ctx.Err)), f)
	if err != nil {
		return "", 0, innermost(err)
	}
	return prefix + hex.EncodeToString(sum.Sum(nil)), size, nil
}

// alive takes whatever is written, until there is an error.
type alive func() error

func (a alive) Write(p []byte) (int, error) { return len(p), a() }

// innermost is an error of the file system without operation and path.
func innermost(err error) error {
	var p *fs.PathError
	if errors.As(err, &p) {
		return p.Err
	}
	return err
}
