package bootstrap

import (
	"bytes"
	"math/rand/v2"
	"os/exec"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

func TestScriptsAreOneWordOfEveryShell(t *testing.T) {
	for name, script := range map[string]string{"probe": probeScript, "upload": uploadScript} {
		command := scriptCommand(script)
		inner, ok := strings.CutPrefix(command, "exec /bin/sh -c '")
		inner, ok2 := strings.CutSuffix(inner, "'")
		if !ok || !ok2 || strings.ContainsAny(inner, "'!\\\n") {
			t.Errorf("%s: %s", name, command)
		}
		for _, c := range inner {
			if c < ' ' || c > '~' {
				t.Errorf("%s has %q", name, c)
			}
		}
		if out, err := exec.Command("/bin/sh", "-n", "-c", inner).CombinedOutput(); err != nil {
			t.Errorf("%s: %v %s", name, err, out)
		}
	}
}

func TestCksumIsThatOfTheHosts(t *testing.T) {
	random := rand.New(rand.NewPCG(1, 2))
	for _, size := range []int{0, 1, 2, 255, 256, 257, 70_000} {
		data := make([]byte, size)
		for i := range data {
			data[i] = byte(random.Uint32())
		}
		cmd := exec.Command("cksum")
		cmd.Stdin = bytes.NewReader(data)
		want, err := cmd.Output()
		if err != nil {
			t.Fatal(err)
		}
		sum := newCksum()
		for len(data) > 0 {
			n := min(len(data), 1+random.IntN(5000))
			if _, err := sum.Write(data[:n]); err != nil {
				t.Fatal(err)
			}
			data = data[n:]
		}
		if got := sum.String(); got != strings.TrimSpace(string(want)) {
			t.Errorf("%d bytes: got %s, want %s", size, got, want)
		}
	}
}

func TestPlatforms(t *testing.T) {
	for uname, want := range map[string]string{
		"Linux x86_64":              "linux/amd64",
		"Linux aarch64":             "linux/arm64",
		"Linux armv7l":              "linux/armv7",
		"Linux armv8l":              "linux/armv7",
		"Linux armv6l":              "linux/armv6",
		"Linux i686":                "linux/386",
		"Linux riscv64":             "linux/riscv64",
		"Linux loongarch64":         "linux/loong64",
		"Darwin arm64":              "darwin/arm64",
		"Darwin x86_64":             "darwin/amd64",
		"FreeBSD amd64":             "freebsd/amd64",
		"MINGW64_NT-10.0-1 x86_64":  "windows/amd64",
		"CYGWIN_NT-10.0-19045 i686": "windows/386",
	} {
		system, machine, _ := strings.Cut(uname, " ")
		if got := unamePlatform(system, machine).String(); got != want {
			t.Errorf("%s: got %s, want %s", uname, got, want)
		}
	}
	for head, want := range map[string]string{
		"7f 45 4c 46 02 01 01 00 00 00 00 00 00 00 00 00 02 00 3e 00": "linux/amd64",
		"7f 45 4c 46 02 01 01 03 00 00 00 00 00 00 00 00 02 00 b7 00": "linux/arm64",
		"7f 45 4c 46 01 01 01 00 00 00 00 00 00 00 00 00 02 00 28 00": "linux/armv7",
		"7f 45 4c 46 02 02 01 00 00 00 00 00 00 00 00 00 00 02 00 16": "linux/s390x",
		"7f 45 4c 46 02 01 01 09 00 00 00 00 00 00 00 00 02 00 3e 00": "freebsd/amd64",
		"cf fa ed fe 0c 00 00 01 00 00 00 00 02 00 00 00 00 00 00 00": "darwin/arm64",
		"7f 45 4c 46 02 01 01 00 00 00 00 00 00 00 00 00 02 00 ff ff": "",
		"23 21 2f 62 69 6e 2f 73 68 0a":                               "",
		"od: not found":                                               "",
		"":                                                            "",
	} {
		p, ok := headPlatform(head)
		if got := p.String(); ok != (want != "") || ok && got != want {
			t.Errorf("%s: got %s %v, want %s", head, got, ok, want)
		}
	}
}

func TestFacts(t *testing.T) {
	f := facts{free: -1}
	for line := range strings.Lines(`user alice
system Linux x86_64
gzip
sudo
file /home/alice/.cache/x
sum 123 456
head 7f 45 4c 46
inert -rw-r--r-- 1 alice alice 5 Jan 1 x
folder /home/alice/.cache
unwritable
noexec sh: Permission denied
free /dev/mapper/my disk 1024 24 1000 3% /home of alice
part 77 1 2
part x 1 2
part 78 1 -2
part 79 1
unheard of
`) {
		key, value, _ := strings.Cut(strings.TrimSuffix(line, "\n"), " ")
		f.add(key, value)
	}
	want := facts{
		platform: Platform{"linux", "amd64"}, user: "alice", gzip: true, sudo: true, file: "/home/alice/.cache/x", sum: "123 456", head: "7f 45 4c 46",
		inert: "-rw-r--r--", folder: "/home/alice/.cache", unwritable: "no reason was given", noexec: "sh: Permission denied", free: 1000 * 1024,
		parts: []part{{id: "77", size: 2, sum: "1 2"}},
	}
	if d := cmp.Diff(want, f, cmp.AllowUnexported(facts{}, part{})); d != "" {
		t.Error(d)
	}
	for line, want := range map[string]int64{"": -1, "df: no such thing": -1, "100%": -1, "/dev/x 10 5 5 50% /": 5120, "/dev/x 10 5 -5 50% /": -1, "a 99999999999999999999 50% /": -1} {
		if got := freeOf(line); got != want {
			t.Errorf("%q: %d bytes are free, want %d", line, got, want)
		}
	}
}

func TestSudoersLineIsOneThatSudoReads(t *testing.T) {
	for user, path := range map[string]string{"alice": "/home/alice/.cache/reconciler/agents/*/reconciler", `DOM\bob`: "/home/bob, the second=x:y/reconciler"} {
		cmd := exec.Command("visudo", "-c", "-f", "-")
		line := SudoersLine(user, path)
		cmd.Stdin = strings.NewReader(line + "\n")
		if out, err := cmd.CombinedOutput(); err != nil {
			t.Errorf("%s: %v %s", line, err, out)
		}
	}
}
