// Package program says of a file, without executing it, what would keep this machine from executing it: that it is cut short, or built for another architecture, that its
// interpreter, its program loader or a shared library is missing, or that it lies where nothing may be executed.
//
// It must never run anything to find out, the program's loader included, and never say of a program that it can't be executed where it doesn't know.
package program

import (
	"bytes"
	"debug/elf"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
)

// Options say where a program would look for what it needs.
type Options struct {
	// Root is where the machine's files are; empty: the root directory.
	Root string
	// Arch is the machine's architecture, in Go's words; empty: that of this program.
	Arch string
	// As is where the program will be executed, where that isn't where it is looked at.
	As string
	// Path is the PATH that the program gets, for scripts that are interpreted through env(1); empty: that isn't looked at.
	Path []string
	// LibraryPath is the LD_LIBRARY_PATH that it gets.
	LibraryPath []string
}

// Check says in a sentence what keeps the program at path from being executed and what to do about it; empty where it finds nothing.
func Check(path string, o Options) string {
	if found := o.file(path); found != "" {
		return found
	}
	place := o.at(path)
	if o.As != "" {
		place = o.existing(o.As)
	}
	if noexec(place) {
		return "it lies on a file system that is mounted noexec: put it elsewhere, or remount that"
	}
	if found := o.Format(path); found != "" {
		return found
	}
	return o.Libraries(path)
}

// file looks at the file from outside.
func (o Options) file(path string) string {
	info, err := os.Stat(o.at(path))
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return "there is no such file"
	case err != nil:
		return err.Error()
	case info.IsDir():
		return "it is a directory"
	case !info.Mode().IsRegular():
		return "it is no regular file"
	case info.Mode()&0o111 == 0 && runtime.GOOS != "windows":
		return "it isn't executable: chmod +x it"
	}
	return ""
}

func (o Options) at(path string) string { return filepath.Join(o.Root, path) }

// existing is the nearest folder on the way to a path that is there.
func (o Options) existing(path string) string {
	for {
		up := filepath.Dir(path)
		if _, err := os.Stat(o.at(up)); err == nil || up == path {
			return o.at(up)
		}
		path = up
	}
}

func (o Options) exists(path string) bool {
	_, err := os.Stat(o.at(path))
	return !errors.Is(err, fs.ErrNotExist)
}

// deepest is how many interpreters of interpreters the kernel follows: execve(2).
const deepest = 4

// Format says what is wrong with the inside of a program, as far as the kernel looks: its format, its architecture, its interpreter or program loader. Libraries are left out.
func (o Options) Format(path string) string { return o.format(path, 0) }

func (o Options) format(path string, depth int) string {
	f, err := os.Open(o.at(path))
	if err != nil {
		return "" // executable perhaps, and not for us to read
	}
	defer f.Close()
	head := make([]byte, 258)
	n, err := io.ReadFull(f, head)
	if err != nil && !errors.Is(err, io.ErrUnexpectedEOF) && !errors.Is(err, io.EOF) {
		return ""
	}
	switch head = head[:n]; {
	case n < 4:
		return "it is empty, or too short to be a program"
	case string(head[:4]) == elf.ELFMAG:
		return o.elf(f)
	case string(head[:2]) == "#!":
		return o.script(head[2:], depth)
	}
	if o.mayKnow(head) {
		return ""
	}
	return "it is neither a program of this host nor a script with a #! line"
}

// script looks at the first line of a script.
func (o Options) script(head []byte, depth int) string {
	line, _, _ := bytes.Cut(head, []byte("\n"))
	if bytes.HasSuffix(line, []byte("\r")) {
		return "its first line ends with a carriage return: convert it to Unix line ends"
	}
	words := strings.Fields(string(line))
	if len(words) == 0 {
		return "its first line names no interpreter"
	}
	if !o.exists(words[0]) {
		return fmt.Sprintf("its interpreter %q is missing", words[0])
	}
	if filepath.Base(words[0]) == "env" && len(words) > 1 {
		return o.throughEnv(words[1:])
	}
	if depth < deepest {
		if found := o.format(words[0], depth+1); found != "" {
			return fmt.Sprintf("its interpreter %q can't be executed: %s", words[0], found)
		}
	}
	return ""
}

// throughEnv looks for the interpreter that env(1) would.
func (o Options) throughEnv(words []string) string {
	for _, w := range words {
		switch {
		case w == "-S" || strings.Contains(w, "="):
			continue
		case strings.HasPrefix(w, "-") || len(o.Path) == 0 || strings.Contains(w, "/"):
			return ""
		}
		for _, dir := range o.Path {
			if o.exists(filepath.Join(dir, w)) {
				return ""
			}
		}
		return fmt.Sprintf("its interpreter %q is missing in PATH (%s)", w, strings.Join(o.Path, ":"))
	}
	return ""
}

// elf looks at an ELF program: see elf(5).
func (o Options) elf(f *os.File) string {
	im, err := imageOf(f)
	switch {
	case errors.Is(err, errShort):
		return "it is cut short: copy or build it again"
	case err != nil:
		return "it is a damaged program: " + err.Error()
	case im.kind == elf.ET_REL:
		return "it is an object file: link it to a program"
	case im.kind != elf.ET_EXEC && im.kind != elf.ET_DYN:
		return fmt.Sprintf("it is no program (%v)", im.kind)
	case !o.runs(im):
		return fmt.Sprintf("it was built for %s, and this host is %s", archOf(im.machine), o.arch())
	}
	if loader := im.loader; loader != "" && !o.exists(loader) {
		return fmt.Sprintf("its program loader %q is missing: it was built for another C library or architecture (%s, and this host is %s)", loader, archOf(im.machine), o.arch())
	}
	return ""
}

func (o Options) arch() string {
	if o.Arch != "" {
		return o.Arch
	}
	return runtime.GOARCH
}

// runs tells whether this machine executes programs of that kind, perhaps through an emulator. What isn't known may be.
func (o Options) runs(im *image) bool {
	here, known := map[string][]elf.Machine{
		"amd64": {elf.EM_X86_64, elf.EM_386}, "386": {elf.EM_386, elf.EM_X86_64},
		"arm64": {elf.EM_AARCH64, elf.EM_ARM}, "arm": {elf.EM_ARM, elf.EM_AARCH64},
		"riscv64": {elf.EM_RISCV}, "ppc64": {elf.EM_PPC64, elf.EM_PPC}, "ppc64le": {elf.EM_PPC64}, "s390x": {elf.EM_S390}, "loong64": {elf.EM_LOONGARCH},
	}[o.arch()]
	if !known {
		return true
	}
	return slices.Contains(here, im.machine) || o.emulated(im.head)
}

// archOf is the name of a machine, as Go has it where it does.
func archOf(m elf.Machine) string {
	name, ok := map[elf.Machine]string{
		elf.EM_X86_64: "amd64", elf.EM_386: "386", elf.EM_AARCH64: "arm64", elf.EM_ARM: "arm", elf.EM_RISCV: "riscv64", elf.EM_PPC64: "ppc64", elf.EM_S390: "s390x",
		elf.EM_LOONGARCH: "loong64", elf.EM_MIPS: "mips",
	}[m]
	if !ok {
		return m.String()
	}
	return name
}
