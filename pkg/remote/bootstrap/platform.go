package bootstrap

import (
	"encoding/binary"
	"encoding/hex"
	"regexp"
	"runtime"
	"strings"
)

// Platform is what a program must have been built for to run on a host.
type Platform struct {
	// OS is a GOOS.
	OS string
	// Arch is a GOARCH, with the version for arm: armv7.
	Arch string
}

// Own is the platform of this process.
func Own() Platform { return Platform{OS: runtime.GOOS, Arch: goArch(runtime.GOARCH)} }

func (p Platform) String() string { return p.OS + "/" + p.Arch }

// File is what the agent for this platform is called in a folder of agents.
func (p Platform) File() string {
	name := "reconciler-" + p.OS + "-" + p.Arch
	if p.OS == "windows" {
		name += ".exe"
	}
	return name
}

func parsePlatform(s string) (Platform, bool) {
	system, arch, ok := strings.Cut(s, "/")
	return Platform{OS: system, Arch: arch}, ok && platformWord.MatchString(system) && platformWord.MatchString(arch)
}

func goArch(arch string) string {
	if arch == "arm" {
		return "armv7" // what hack/agents.sh builds for, and Go's own default
	}
	return arch
}

// platformWord matches what a system or a machine may be called. Hosts say it, and files here are named by it.
var platformWord = regexp.MustCompile(`^[a-z0-9_]{1,20}$`)

// unamePlatform translates what uname(1) calls a system and its machine. What no uname would say is unknown.
func unamePlatform(system, machine string) Platform {
	p := Platform{OS: strings.ToLower(system), Arch: strings.ToLower(machine)}
	for _, prefix := range []string{"mingw", "msys", "cygwin", "windows"} {
		if strings.HasPrefix(p.OS, prefix) {
			p.OS = "windows"
		}
	}
	switch p.Arch {
	case "x86_64":
		p.Arch = "amd64"
	case "aarch64":
		p.Arch = "arm64"
	case "armv7l", "armv8l":
		p.Arch = "armv7"
	case "armv6l":
		p.Arch = "armv6"
	case "i386", "i486", "i586", "i686":
		p.Arch = "386"
	case "loongarch64":
		p.Arch = "loong64"
	}
	for _, word := range []*string{&p.OS, &p.Arch} {
		if !platformWord.MatchString(*word) {
			*word = "unknown"
		}
	}
	return p
}

// headPlatform tells what the program was built for whose first 20 bytes are written as hexadecimal digits: see elf(5), and the headers of Mach-O and PE. ok is false
// for what it doesn't know.
func headPlatform(digits string) (p Platform, ok bool) {
	head, err := hex.DecodeString(strings.ReplaceAll(digits, " ", ""))
	if err != nil || len(head) < 20 {
		return Platform{}, false
	}
	switch magic := string(head[:4]); {
	case magic == "\x7fELF":
		order := binary.ByteOrder(binary.LittleEndian)
		if head[5] == 2 {
			order = binary.BigEndian
		}
		arch, known := map[uint16]string{3: "386", 22: "s390x", 40: "armv7", 62: "amd64", 183: "arm64", 243: "riscv64", 258: "loong64"}[order.Uint16(head[18:])]
		system := "linux"
		if head[7] == 9 {
			system = "freebsd"
		}
		return Platform{OS: system, Arch: arch}, known
	case magic == "\xcf\xfa\xed\xfe":
		arch, known := map[uint32]string{0x01000007: "amd64", 0x0100000c: "arm64"}[binary.LittleEndian.Uint32(head[4:])]
		return Platform{OS: "darwin", Arch: arch}, known
	}
	return Platform{}, false
}
