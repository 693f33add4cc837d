package program

import (
	"bytes"
	"debug/elf"
	"encoding/binary"
	"encoding/hex"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"unicode"
	"unicode/utf8"
)

// multiarch is the name of a machine's folder below lib, as Debian has it.
func multiarch(m elf.Machine) string {
	return map[elf.Machine]string{
		elf.EM_X86_64: "x86_64-linux-gnu", elf.EM_386: "i386-linux-gnu", elf.EM_AARCH64: "aarch64-linux-gnu", elf.EM_ARM: "arm-linux-gnueabihf",
		elf.EM_RISCV: "riscv64-linux-gnu", elf.EM_PPC64: "powerpc64le-linux-gnu", elf.EM_S390: "s390x-linux-gnu",
	}[m]
}

// glibcFolders are those that glibc's loader was built with, in any distribution, and that of the loader itself. One too many is no harm: a library is taken for missing only
// where nothing has it.
func (o Options) glibcFolders(loader string) []string {
	dirs := []string{"/lib64", "/usr/lib64", "/lib", "/usr/lib", "/usr/libx32", "/lib32", "/usr/lib32", filepath.Dir(loader)}
	if real, err := filepath.EvalSymlinks(o.at(loader)); err == nil {
		dirs = append(dirs, strings.TrimPrefix(filepath.Dir(real), filepath.Clean(o.Root)))
	}
	for _, m := range []elf.Machine{elf.EM_X86_64, elf.EM_386, elf.EM_AARCH64, elf.EM_ARM, elf.EM_RISCV, elf.EM_PPC64, elf.EM_S390} {
		dirs = append(dirs, "/lib/"+multiarch(m), "/usr/lib/"+multiarch(m))
	}
	return dirs
}

// muslFolders are those that musl's loader looks in: of its configuration, or else those it was built with.
func (o Options) muslFolders(loader string) []string {
	arch, _, _ := strings.Cut(strings.TrimPrefix(loader, "ld-musl-"), ".")
	text, err := os.ReadFile(o.at("/etc/ld-musl-" + arch + ".path"))
	if err != nil {
		return []string{"/lib", "/usr/local/lib", "/usr/lib"}
	}
	return strings.FieldsFunc(string(text), func(r rune) bool { return r == ':' || r == '\n' })
}

// muslItself tells whether musl's loader is that library.
func muslItself(name string) bool {
	stem, ok := strings.CutSuffix(name, ".so")
	if strings.HasPrefix(name, "libc.musl-") {
		return true
	}
	for _, own := range []string{"libc", "libpthread", "librt", "libm", "libdl", "libutil", "libxnet"} {
		if ok && stem == own {
			return true
		}
	}
	return false
}

// loaderCache is what ldconfig(8) found: paths by the names of libraries. None where it can't be read.
func (o Options) loaderCache() map[string][]string {
	b, err := os.ReadFile(o.at("/etc/ld.so.cache"))
	if err != nil {
		return nil
	}
	return parseCache(b)
}

const (
	cacheMagic  = "glibc-ld.so.cache1.1"
	cacheHeader = 48
	cacheEntry  = 24
)

// parseCache reads the format that glibc writes since 2.2, on its own or behind the older one. The numbers are in the byte order of the machine, which is taken from what makes sense.
func parseCache(b []byte) map[string][]string {
	at := bytes.Index(b, []byte(cacheMagic))
	if at < 0 || len(b) < at+cacheHeader {
		return nil
	}
	b = b[at:]
	for _, order := range []binary.ByteOrder{binary.LittleEndian, binary.BigEndian} {
		count := int64(order.Uint32(b[len(cacheMagic):]))
		if count*cacheEntry > int64(len(b)-cacheHeader) {
			continue
		}
		found := make(map[string][]string, count)
		for i := range count {
			e := b[cacheHeader+i*cacheEntry:]
			name, path := stringAt(b, uint64(order.Uint32(e[4:]))), stringAt(b, uint64(order.Uint32(e[8:])))
			if name != "" && path != "" {
				found[name] = append(found[name], path)
			}
		}
		return found
	}
	return nil
}

// emulated tells whether the kernel was told of a program that executes those which begin like that: see binfmt_misc in the kernel's documentation.
func (o Options) emulated(head []byte) bool {
	return slices.ContainsFunc(o.formats(), func(text string) bool { return matchesFormat(text, head) })
}

// mayKnow tells whether the kernel may have been told of a program that executes files like that, by how they begin or by how their names end. Where its list isn't to be seen it may
// have been, except of text.
func (o Options) mayKnow(head []byte) bool {
	if !o.exists(formatsDir + "/status") {
		return !utf8.Valid(head[:max(0, len(head)-utf8.UTFMax)]) || bytes.ContainsFunc(head, func(r rune) bool { return r < ' ' && !unicode.IsSpace(r) })
	}
	return o.emulated(head) || slices.ContainsFunc(o.formats(), func(text string) bool {
		return strings.HasPrefix(text, "enabled\n") && strings.Contains(text, "\nextension ")
	})
}

// formatsDir is where the kernel lists the formats that it was told of.
const formatsDir = "/proc/sys/fs/binfmt_misc"

// formats are the entries of that list.
func (o Options) formats() []string {
	dir := o.at(formatsDir)
	entries, _ := os.ReadDir(dir) // one that isn't mounted has none
	var texts []string
	for _, e := range entries {
		if text, err := os.ReadFile(filepath.Join(dir, e.Name())); err == nil {
			texts = append(texts, string(text))
		}
	}
	return texts
}

// matchesFormat tells whether one entry of binfmt_misc is for files that begin like that.
func matchesFormat(text string, head []byte) bool {
	var offset int
	var magic, mask []byte
	for i, line := range strings.Split(text, "\n") {
		word, value, _ := strings.Cut(line, " ")
		switch {
		case i == 0 && word != "enabled":
			return false
		case word == "offset":
			for _, c := range value {
				offset = min(offset*10+int(c-'0'), 1<<10)
			}
		case word == "magic":
			magic, _ = hex.DecodeString(value) // one that is none matches nothing
		case word == "mask":
			mask, _ = hex.DecodeString(value)
		}
	}
	if len(magic) == 0 || offset < 0 || offset+len(magic) > len(head) {
		return false
	}
	for i, want := range magic {
		have := head[offset+i]
		if i < len(mask) {
			have, want = have&mask[i], want&mask[i]
		}
		if have != want {
			return false
		}
	}
	return true
}
