package program

import (
	"debug/elf"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

const (
	glibc = "/lib64/ld-linux-x86-64.so.2"
	musl  = "/lib/ld-musl-x86_64.so.1"
)

// lib is a library of amd64.
func lib(needed ...string) string { return string(made{needed: needed}.bytes()) }

// machine makes the root of a machine with those files, all of them executable.
func machine(t *testing.T, files map[string]string) string {
	t.Helper()
	root := t.TempDir()
	for path, text := range files {
		path = filepath.Join(root, path)
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, []byte(text), 0o755); err != nil {
			t.Fatal(err)
		}
	}
	return root
}

func TestCheck(t *testing.T) {
	static := string(made{kind: elf.ET_EXEC}.bytes())
	dynamic := func(m made) string {
		m.loader = glibc
		return string(m.bytes())
	}
	const p = "/opt/app/bin/worker"
	base := map[string]string{glibc: lib(), "/lib/x86_64-linux-gnu/libc.so.6": lib(), "/bin/sh": static}
	for name, c := range map[string]struct {
		files map[string]string
		o     Options
		want  string // in the answer; empty: nothing is wrong
	}{
		"a static program":                       {files: map[string]string{p: static}},
		"a dynamic program":                      {files: map[string]string{p: dynamic(made{needed: []string{"libc.so.6"}})}},
		"there is none":                          {want: "no such file"},
		"a folder":                               {files: map[string]string{p + "/x": ""}, want: "it is a directory"},
		"an empty file":                          {files: map[string]string{p: ""}, want: "it is empty"},
		"text":                                   {files: map[string]string{p: "exit 0\n"}, want: "neither a program of this host nor a script"},
		"no text, and nobody says what is known": {files: map[string]string{p: "MZ\x90\x00\x03"}},
		"a format that the kernel knows":         {files: map[string]string{p: "MZ\x90\x00\x03", formatsDir + "/status": "enabled\n", formatsDir + "/wine": "enabled\nmagic 4d5a\n"}},
		"a format that it doesn't know":          {files: map[string]string{p: "MZ\x90\x00\x03", formatsDir + "/status": "enabled\n"}, want: "neither"},
		"names that the kernel knows":            {files: map[string]string{p: "exit 0\n", formatsDir + "/status": "enabled\n", formatsDir + "/x": "enabled\nflags: \nextension .x\n"}},
		"half of a program":                      {files: map[string]string{p: static[:len(static)-4]}, want: "cut short"},
		"the head of a program":                  {files: map[string]string{p: static[:20]}, want: "cut short"},
		"damage":                                 {files: map[string]string{p: static[:54] + "\x01\x00" + static[56:]}, want: "damaged"},
		"an object file":                         {files: map[string]string{p: string(made{kind: elf.ET_REL}.bytes())}, want: "object file"},
		"a core":                                 {files: map[string]string{p: string(made{kind: elf.ET_CORE}.bytes())}, want: "no program"},
		"of another architecture":                {files: map[string]string{p: string(made{machine: elf.EM_AARCH64}.bytes())}, want: "built for arm64, and this host is amd64"},
		"of an architecture nobody knows":        {files: map[string]string{p: string(made{machine: 4711}.bytes())}, want: "it was built for"},
		"of 32 bits on amd64":                    {files: map[string]string{p: string(made{narrow: true, machine: elf.EM_386}.bytes())}},
		"on a machine nobody knows":              {files: map[string]string{p: static}, o: Options{Arch: "vax"}},
		"with an emulator": {files: map[string]string{p: string(made{machine: elf.EM_AARCH64}.bytes()),
			"/proc/sys/fs/binfmt_misc/qemu-aarch64": "enabled\ninterpreter /usr/bin/qemu\nflags: \noffset 0\nmagic 7f454c460201010000000000000000000200b700\nmask ffffffffffffff00fffffffffffffffffeffffff\n"}},
		"with an emulator of another": {files: map[string]string{p: string(made{machine: elf.EM_AARCH64}.bytes()),
			"/proc/sys/fs/binfmt_misc/qemu-arm": "enabled\ninterpreter /usr/bin/qemu\nflags: \noffset 0\nmagic 7f454c4601010100000000000000000002002800\nmask ffffffffffffff00fffffffffffffffffeffffff\n"}, want: "built for arm64"},
		"with an emulator that is off": {files: map[string]string{p: string(made{machine: elf.EM_AARCH64}.bytes()),
			"/proc/sys/fs/binfmt_misc/qemu-aarch64": "disabled\noffset 0\nmagic 7f454c46\n"}, want: "built for arm64"},
		"of another C library": {files: map[string]string{p: string(made{loader: musl}.bytes())}, want: `its program loader "/lib/ld-musl-x86_64.so.1" is missing`},

		"a script":                          {files: map[string]string{p: "#!/bin/sh\nexit 0\n"}},
		"a script with an option":           {files: map[string]string{p: "#! /bin/sh -e\n"}},
		"a script of nothing":               {files: map[string]string{p: "#! \n\n"}, want: "names no interpreter"},
		"a script without interpreter":      {files: map[string]string{p: "#!/usr/bin/python9\n"}, want: `its interpreter "/usr/bin/python9" is missing`},
		"a script from Windows":             {files: map[string]string{p: "#!/bin/sh\r\n"}, want: "carriage return"},
		"an interpreter of another kind":    {files: map[string]string{p: "#!/bin/x\n", "/bin/x": string(made{machine: elf.EM_ARM}.bytes())}, want: `"/bin/x" can't be executed: it was built for arm`},
		"interpreters without end":          {files: map[string]string{p: "#!" + p + "\n"}},
		"through env":                       {files: map[string]string{p: "#!/usr/bin/env -S A=b sh -e\n", "/usr/bin/env": static}, o: Options{Path: []string{"/usr/bin", "/bin"}}},
		"through env, what isn't there":     {files: map[string]string{p: "#!/usr/bin/env node\n", "/usr/bin/env": static}, o: Options{Path: []string{"/bin"}}, want: `"node" is missing in PATH (/bin)`},
		"through env, and no PATH is known": {files: map[string]string{p: "#!/usr/bin/env node\n", "/usr/bin/env": static}},

		"a library is missing":                   {files: map[string]string{p: dynamic(made{needed: []string{"libc.so.6", "libpq.so.5"}})}, want: `its shared library "libpq.so.5" is missing`},
		"a library of a library":                 {files: map[string]string{p: dynamic(made{needed: []string{"liba.so"}}), "/usr/lib/liba.so": lib("libb.so")}, want: `"libb.so", which /usr/lib/liba.so needs, is missing`},
		"a library of another architecture":      {files: map[string]string{p: dynamic(made{needed: []string{"liba.so"}}), "/usr/lib/liba.so": string(made{machine: elf.EM_AARCH64}.bytes())}, want: `"liba.so" is missing`},
		"libraries that need each other":         {files: map[string]string{p: dynamic(made{needed: []string{"liba.so"}}), "/usr/lib/liba.so": lib("libb.so"), "/usr/lib/libb.so": lib("liba.so")}},
		"by the cache":                           {files: map[string]string{p: dynamic(made{needed: []string{"liba.so"}}), "/opt/x/liba.so": lib(), "/etc/ld.so.cache": string(cacheOf("libc.so.6", "/x", "liba.so", "/opt/x/liba.so"))}},
		"by a cache that is old":                 {files: map[string]string{p: dynamic(made{needed: []string{"liba.so"}}), "/etc/ld.so.cache": string(cacheOf("liba.so", "/opt/x/liba.so"))}, want: "missing"},
		"by LD_LIBRARY_PATH":                     {files: map[string]string{p: dynamic(made{needed: []string{"liba.so"}}), "/opt/x/liba.so": lib()}, o: Options{LibraryPath: []string{"/opt/x"}}},
		"by RUNPATH":                             {files: map[string]string{p: dynamic(made{needed: []string{"liba.so"}, runpath: "/none:$ORIGIN/../lib"}), "/opt/app/lib/liba.so": lib()}},
		"by RUNPATH, which isn't for libraries'": {files: map[string]string{p: dynamic(made{needed: []string{"liba.so"}, runpath: "${ORIGIN}/../lib"}), "/opt/app/lib/liba.so": lib("libb.so"), "/opt/app/lib/libb.so": lib()}, want: `"libb.so"`},
		"by RPATH, which is":                     {files: map[string]string{p: dynamic(made{needed: []string{"liba.so"}, rpath: "${ORIGIN}/../lib"}), "/opt/app/lib/liba.so": lib("libb.so"), "/opt/app/lib/libb.so": lib()}},
		"by a path":                              {files: map[string]string{p: dynamic(made{needed: []string{"/opt/x/liba.so"}}), "/opt/x/liba.so": lib()}},
		"by a path where nothing is":             {files: map[string]string{p: dynamic(made{needed: []string{"/opt/x/liba.so"}})}, want: `"/opt/x/liba.so" is missing`},
		"by $LIB":                                {files: map[string]string{p: dynamic(made{needed: []string{"liba.so"}, runpath: "/opt/$LIB"}), "/opt/lib/x86_64-linux-gnu/liba.so": lib()}},
		"musl is its own C library":              {files: map[string]string{p: string(made{loader: musl, needed: []string{"libc.musl-x86_64.so.1", "libpthread.so"}}.bytes()), musl: lib()}},
		"musl has folders of its own":            {files: map[string]string{p: string(made{loader: musl, needed: []string{"liba.so"}}.bytes()), musl: lib(), "/etc/ld-musl-x86_64.path": "/a\n/b:/c\n", "/c/liba.so": lib()}},
		"musl misses one":                        {files: map[string]string{p: string(made{loader: musl, needed: []string{"liba.so"}}.bytes()), musl: lib()}, want: `"liba.so" is missing`},
		"a loader that nobody knows":             {files: map[string]string{p: string(made{loader: "/lib/ld-mine.so", needed: []string{"liba.so"}}.bytes()), "/lib/ld-mine.so": lib()}},
	} {
		t.Run(name, func(t *testing.T) {
			c.o.Root = machine(t, base)
			for path, text := range c.files {
				path = filepath.Join(c.o.Root, path)
				if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
					t.Fatal(err)
				}
				if err := os.WriteFile(path, []byte(text), 0o755); err != nil {
					t.Fatal(err)
				}
			}
			if c.o.Arch == "" {
				c.o.Arch = "amd64"
			}
			got := Check(p, c.o)
			if c.want == "" && got != "" || !strings.Contains(got, c.want) {
				t.Errorf("%q, want %q", got, c.want)
			}
		})
	}
}

func TestNotExecutable(t *testing.T) {
	path := filepath.Join(t.TempDir(), "f")
	if err := os.WriteFile(path, made{}.bytes(), 0o644); err != nil {
		t.Fatal(err)
	}
	if got := Check(path, Options{}); !strings.Contains(got, "chmod +x") {
		t.Errorf("%q", got)
	}
}

// TestThisMachine finds nothing wrong with what surely can be executed here: this very program, and all that the system comes with.
func TestThisMachine(t *testing.T) {
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	for _, path := range []string{self, "/bin/sh", "/bin/ls", "/usr/bin/env"} {
		if _, err := os.Stat(path); err != nil {
			continue
		}
		if got := Check(path, Options{Path: filepath.SplitList(os.Getenv("PATH"))}); got != "" {
			t.Errorf("%s: %s", path, got)
		}
	}
}
