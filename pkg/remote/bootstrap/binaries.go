package bootstrap

import (
	"crypto/sha256"
	"debug/elf"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"sync"
)

// Binary is the agent for one platform, a file on this machine.
type Binary struct {
	Platform Platform
	// File is where it is.
	File string
	Size int64
	// Hash is its SHA-256 in hexadecimal digits.
	Hash string

	open string // what to open: also a file that was replaced since it was started
	sum  func() (string, error)
}

// Cksum is what cksum(1) prints of it.
func (b *Binary) Cksum() (string, error) { return b.sum() }

// prefixCksum is what cksum(1) prints of its first n bytes.
func (b *Binary) prefixCksum(n int64) (string, error) {
	f, err := os.Open(b.open)
	if err != nil {
		return "", err
	}
	defer f.Close()
	sum := newCksum()
	if _, err := io.CopyN(sum, f, n); err != nil {
		return "", err
	}
	return sum.String(), nil
}

// Binaries are the agents that this controller has to hand out: itself for its own platform, and for others those of folders that hack/agents.sh filled. It may be used
// concurrently; each is looked for once.
type Binaries struct {
	own   string
	dirs  []string
	cache Cache
	mu    sync.Mutex
	found map[Platform]*Binary
}

// NewBinaries makes Binaries of own, the path of this program, which stands in for its own platform, and of folders, searched in their order. Empty ones are passed
// over. The hashes of files that didn't change are remembered in cache.
func NewBinaries(own string, cache Cache, dirs ...string) *Binaries {
	b := &Binaries{own: own, cache: cache, found: map[Platform]*Binary{}}
	for _, dir := range dirs {
		if dir != "" {
			b.dirs = append(b.dirs, dir)
		}
	}
	return b
}

// Folders are where a program at own finds the agents for other platforms: the folder that was asked for, and where packages put them, lib/reconciler/agents beside the
// program's bin, or agents beside the program itself.
func Folders(own, asked string) []string {
	dir := filepath.Dir(own)
	return []string{asked, filepath.Join(dir, "agents"), filepath.Join(dir, "..", "lib", "reconciler", "agents")}
}

// For returns the agent for a platform. That there is none is an error that wraps fs.ErrNotExist and says where it was looked for and what makes one.
func (b *Binaries) For(p Platform) (*Binary, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if found := b.found[p]; found != nil {
		return found, nil
	}
	found, err := b.find(p)
	if err != nil {
		return nil, err
	}
	b.found[p] = found
	return found, nil
}

func (b *Binaries) find(p Platform) (*Binary, error) {
	own := p == Own() && b.own != ""
	if own && standsAlone(b.own) {
		return b.read(p, b.own)
	}
	for _, dir := range b.dirs {
		file, err := b.read(p, filepath.Join(dir, p.File()))
		if !errors.Is(err, fs.ErrNotExist) {
			return file, err
		}
	}
	if own {
		return b.read(p, b.own)
	}
	where := "in no folder, as none was named"
	if len(b.dirs) > 0 {
		where = "in " + strings.Join(b.dirs, ", ")
	}
	return nil, &missingBinary{platform: p, where: where}
}

// missingBinary says that there is no agent for a platform.
type missingBinary struct {
	platform Platform
	where    string
}

func (m *missingBinary) Error() string {
	return fmt.Sprintf("there is no agent for %[1]s here: no %[2]s %[3]s; make it with hack/agents.sh %[1]s, and name its folder by --agents or RECONCILER_AGENTS",
		m.platform, m.platform.File(), m.where)
}

// Unwrap returns fs.ErrNotExist.
func (*missingBinary) Unwrap() error { return fs.ErrNotExist }

// standsAlone tells whether a program of this platform runs on any machine of it: on Linux one that needs no libraries of the host. See elf(5), PT_INTERP.
func standsAlone(path string) bool {
	if runtime.GOOS != "linux" {
		return true
	}
	f, err := elf.Open(running(path))
	if err != nil {
		return false
	}
	defer f.Close()
	for _, p := range f.Progs {
		if p.Type == elf.PT_INTERP {
			return false
		}
	}
	return true
}

// running is what to open for a program at path: where it is this one, that which runs, even if the file was replaced since.
func running(path string) string {
	if own, err := os.Executable(); err == nil && own == path && runtime.GOOS == "linux" {
		return "/proc/self/exe"
	}
	return path
}

func (b *Binaries) read(p Platform, path string) (*Binary, error) {
	f, err := os.Open(running(path))
	if err != nil {
		return nil, fmt.Errorf("read the agent for %s: %w", p, err)
	}
	defer f.Close()
	fi, err := f.Stat()
	if err != nil {
		return nil, fmt.Errorf("read the agent for %s: %w", p, err)
	}
	if !fi.Mode().IsRegular() {
		return nil, fmt.Errorf("read the agent for %s: %s is no file", p, path)
	}
	file := &Binary{Platform: p, File: path, Size: fi.Size(), open: running(path)}
	file.sum = sync.OnceValues(func() (string, error) { return file.prefixCksum(file.Size) })
	if file.Hash = b.cache.digest(path, fi); file.Hash != "" {
		return file, nil
	}
	sum := sha256.New()
	if _, err := io.Copy(sum, f); err != nil {
		return nil, fmt.Errorf("read the agent for %s: %w", p, err)
	}
	file.Hash = hex.EncodeToString(sum.Sum(nil))
	b.cache.setDigest(path, fi, file.Hash)
	return file, nil
}
