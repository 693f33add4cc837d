package bootstrap

import (
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"

	"reconciler.dev/reconciler/internal/atomicfile"
)

// Cache is a folder on this machine for what is quicker to remember than to find out: the hashes of agents, and the platforms of hosts that aren't this machine's.
// Whatever is in it may be wrong or gone: the worst that comes of it is a command more to a host. The empty Cache remembers nothing.
type Cache string

// digest returns the hash of the file at path that fi describes, empty where it isn't known.
func (c Cache) digest(path string, fi fs.FileInfo) string {
	identity, hash, ok := strings.Cut(c.get("digests", path), " ")
	if raw, err := hex.DecodeString(hash); !ok || identity != fileIdentity(fi) || err != nil || len(raw) != sha256.Size {
		return ""
	}
	return hash
}

func (c Cache) setDigest(path string, fi fs.FileInfo, hash string) {
	c.set("digests", path, fileIdentity(fi)+" "+hash)
}

// platform returns what a host is, as far as it is known to differ from this machine.
func (c Cache) platform(host string) (Platform, bool) {
	return parsePlatform(c.get("platforms", host))
}

// setPlatform remembers what a host is.
func (c Cache) setPlatform(host string, p Platform) {
	if known, ok := c.platform(host); p == known || !ok && p == Own() {
		return
	}
	c.set("platforms", host, p.String())
}

func (c Cache) file(kind, name string) string {
	sum := sha256.Sum256([]byte(name))
	return filepath.Join(string(c), kind, hex.EncodeToString(sum[:8]))
}

func (c Cache) get(kind, name string) string {
	if c == "" {
		return ""
	}
	text, err := os.ReadFile(c.file(kind, name))
	if err != nil {
		return ""
	}
	return strings.TrimSpace(string(text))
}

// set keeps a value. Where that can't be, it isn't remembered: a cache may forget.
func (c Cache) set(kind, name, value string) {
	if c == "" {
		return
	}
	if err := os.MkdirAll(filepath.Join(string(c), kind), 0o700); err == nil {
		_ = atomicfile.Write(c.file(kind, name), []byte(value+"\n"), 0o600, atomicfile.Volatile)
	}
}

// fileIdentity is the same for a file for as long as it isn't written to or replaced.
func fileIdentity(fi fs.FileInfo) string {
	return fmt.Sprintf("%d-%d-%s", fi.Size(), fi.ModTime().UnixNano(), inode(fi))
}
