package spawn

import (
	"bytes"
	"errors"
	"fmt"
	"io/fs"
	"math"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"

	"golang.org/x/sys/unix"

	"reconciler.dev/reconciler/internal/procfs"
)

func TestMain(m *testing.M) {
	Main()
	os.Exit(m.Run())
}

func newSpawner(t testing.TB) *Spawner {
	t.Helper()
	s, err := New()
	if err != nil {
		t.Fatal(err)
	}
	return s
}

// script is a shell command with the defaults of a daemon.
func script(text string) Cmd {
	return Cmd{Path: "/bin/sh", Args: []string{"sh", "-c", text}, Env: []string{"PATH=/usr/bin:/bin"}, Dir: "/", Umask: 0o22}
}

// slow makes c go through the launcher, whatever it says otherwise.
func slow(c Cmd) Cmd {
	c.Rlimits = append(slices.Clone(c.Rlimits), Rlimit{Name: "core", Soft: 0, Hard: 0})
	return c
}

// ways are the ways to start c, which must come to the same.
func ways(c Cmd) map[string]Cmd { return map[string]Cmd{"directly": c, "by the launcher": slow(c)} }

// TestUmaskAndNiceOfAThread are not ours afterwards.
func TestUmaskAndNiceOfAThread(t *testing.T) {
	s := newSpawner(t)
	for range 20 {
		c := script("umask; nice; pwd")
		c.Umask, c.Nice, c.Dir = 0o77, 7, "/usr"
		if text, _ := output(t, s, c); text != "0077\n7\n/usr\n" {
			t.Errorf("got %q", text)
		}
		if text, _ := output(t, s, script("umask; nice")); text != "0022\n0\n" {
			t.Errorf("the next child got %q", text)
		}
	}
	in, err := procfs.ReadInherited()
	if err != nil || in.Umask != s.umask {
		t.Errorf("our umask is %04o, %v; it was %04o", in.Umask, err, s.umask)
	}
	c := script("true")
	c.Nice, c.Stdout, c.Stderr = -100, os.Stderr, os.Stderr // the kernel takes that for -20
	p, err := s.Start(c)
	if os.Geteuid() != 0 && (err == nil || !strings.Contains(err.Error(), "set its priority")) {
		t.Errorf("a priority that takes root: %v", err)
	}
	if err == nil {
		end(p)
	}
}

// output starts c and returns what it printed and how it ended.
func output(t testing.TB, s *Spawner, c Cmd) (string, unix.WaitStatus) {
	t.Helper()
	f, err := os.Create(filepath.Join(t.TempDir(), "out"))
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	c.Stdout, c.Stderr = f, f
	p, err := s.Start(c)
	if err != nil {
		t.Fatal(err)
	}
	defer p.FD.Close()
	if err := s.wait(t.Context(), p); err != nil {
		t.Fatal(err)
	}
	status, known := p.FD.Status(p.PID, false)
	if !known {
		t.Error("the status of our child isn't known")
	}
	text, err := os.ReadFile(f.Name())
	if err != nil {
		t.Fatal(err)
	}
	return string(text), status
}

func TestChildGetsWhatItIsGivenAndNothingElse(t *testing.T) {
	held, err := os.Open("/") // an inherited descriptor would be one like this, without close-on-exec
	if err != nil {
		t.Fatal(err)
	}
	defer held.Close()
	if _, err := unix.FcntlInt(held.Fd(), unix.F_SETFD, 0); err != nil {
		t.Fatal(err)
	}
	signal.Ignore(syscall.SIGHUP, syscall.SIGTSTP)
	defer signal.Reset(syscall.SIGHUP, syscall.SIGTSTP)
	dispose(sigCancel, sigIgnore) // as make does
	s := newSpawner(t)
	c := script(`echo "$0" "$@"; env | sort; pwd; umask; ls /proc/self/fd | tr '\n' ' '; echo; readlink /proc/$$/fd/0; grep -E '^Sig(Blk|Ign)' /proc/self/status; ps -o sid= -p $$ | tr -d ' '; echo $$`)
	c.Args = append(c.Args, "zero", "a b", "$HOME", "")
	c.Env = []string{"PATH=/usr/bin:/bin", "X=1 2", "PWD=/usr"}
	c.Dir = "/usr"
	for name, c := range ways(c) {
		t.Run(name, func(t *testing.T) {
			text, status := output(t, s, c)
			lines := strings.Split(strings.TrimSpace(text), "\n")
			pid := lines[len(lines)-1]
			want := []string{"zero a b $HOME ", "PATH=/usr/bin:/bin", "PWD=/usr", "X=1 2", "/usr", "0022", "0 1 2 3 ", "/dev/null",
				"SigBlk:\t0000000000000000", "SigIgn:\t0000000000000000", pid, pid}
			if !slices.Equal(lines, want) || status != 0 { // ls itself has 3 open
				t.Errorf("got  %q\nwant %q", lines, want)
			}
		})
	}
}

// TestBytesArriveAsTheyAre, UTF-8 or not.
func TestBytesArriveAsTheyAre(t *testing.T) {
	s := newSpawner(t)
	c := script(`printf '%s\n' "$0" "$X"`)
	bytes := "\xff\xfe\x01 \u00e4\n\"\\"
	c.Args, c.Env = append(c.Args, bytes), []string{"X=" + bytes}
	for name, c := range ways(c) {
		if text, _ := output(t, s, c); text != bytes+"\n"+bytes+"\n" {
			t.Errorf("%s: %q, want %q twice", name, text, bytes)
		}
	}
}

func TestUmaskNiceAndRlimits(t *testing.T) {
	s := newSpawner(t)
	c := script("umask; nice; ulimit -Sn; ulimit -Hn; ulimit -v; ulimit -p")
	c.Umask, c.Nice = 0o77, 5
	c.Rlimits = []Rlimit{{"as", 64 << 20, 64 << 20}, {"nofile", 100, 200}, {"nproc", 77, 77}}
	text, _ := output(t, s, c)
	if want := "0077\n5\n100\n200\n65536\n77\n"; text != want {
		t.Errorf("got %q, want %q", text, want)
	}
}

// TestOpenFilesLimitIsWhatWeWereGiven: Go raises the soft limit for itself, which programs that use select(2) can't bear.
func TestOpenFilesLimitIsWhatWeWereGiven(t *testing.T) {
	if os.Getenv("SPAWN_TEST_NOFILE") == "" {
		cmd := exec.Command("/bin/sh", "-c", `ulimit -Sn 123; exec "$0" -test.run "$1"`, os.Args[0], "^"+t.Name()+"$")
		cmd.Env = append(os.Environ(), "SPAWN_TEST_NOFILE=1")
		if out, err := cmd.CombinedOutput(); err != nil {
			t.Errorf("%v: %s", err, out)
		}
		return
	}
	s := newSpawner(t)
	for name, c := range ways(script("ulimit -Sn")) {
		if text, _ := output(t, s, c); text != "123\n" {
			t.Errorf("%s: %q, want 123", name, text)
		}
	}
}

func TestTagReachesTheChildAlone(t *testing.T) {
	s := newSpawner(t)
	before, err := procfs.ReadTag(os.Getpid())
	if err != nil {
		t.Fatal(err)
	}
	for name, c := range ways(script("exec sleep 1000")) {
		t.Run(name, func(t *testing.T) {
			tag := procfs.NewTag()
			c.Tag, c.Stdout, c.Stderr = uint64(tag), os.Stderr, os.Stderr
			p, err := s.Start(c)
			if err != nil {
				t.Fatal(err)
			}
			defer end(p)
			if got, err := procfs.ReadTag(p.PID); got != tag || err != nil {
				t.Errorf("its tag is %x, %v; want %x", got, err, tag)
			}
			if got, err := procfs.ReadTag(os.Getpid()); got != before || err != nil {
				t.Errorf("ours is %x, %v; want %x", got, err, before)
			}
			comm, err := os.ReadFile(fmt.Sprintf("/proc/%d/comm", p.PID))
			if err != nil || string(comm) != "sh\n" && string(comm) != "sleep\n" {
				t.Errorf("Start returned while it was still %q, %v", comm, err)
			}
		})
	}
}

// executable writes an executable file and returns its path.
func executable(t *testing.T, content string, mode fs.FileMode) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "program")
	if err := os.WriteFile(path, []byte(content), mode); err != nil {
		t.Fatal(err)
	}
	return path
}

func TestErrorsSayWhatIsTheMatter(t *testing.T) {
	s := newSpawner(t)
	elf, err := os.ReadFile("/bin/true")
	if err != nil {
		t.Fatal(err)
	}
	foreign := bytes.Clone(elf)
	foreign[18], foreign[19] = 0x02, 0 // e_machine: SPARC
	orphan := bytes.Replace(bytes.Clone(elf), []byte("/lib64/ld-linux"), []byte("/libXX/ld-linux"), 1)
	if bytes.Equal(orphan, elf) {
		orphan = bytes.Replace(bytes.Clone(elf), []byte("/lib/ld-linux"), []byte("/liX/ld-linux"), 1)
	}
	for _, c := range []struct {
		name, path, dir, want string
		errno                 syscall.Errno
	}{
		{"missing", "/does/not/exist", "/", "there is no such file", syscall.ENOENT},
		{"directory", "/usr", "/", "it is a directory", syscall.EACCES},
		{"not executable", executable(t, "x", 0o644), "/", "chmod +x", syscall.EACCES},
		{"text", executable(t, "hello", 0o755), "/", "neither a program of this host nor a script", syscall.ENOEXEC},
		{"missing interpreter", executable(t, "#!/no/such/sh -e\n", 0o755), "/", `interpreter "/no/such/sh" is missing`, syscall.ENOENT},
		{"carriage return", executable(t, "#!/bin/sh\r\n", 0o755), "/", "carriage return", syscall.ENOENT},
		{"other architecture", executable(t, string(foreign), 0o755), "/", "it was built for EM_SPARC", syscall.ENOEXEC},
		{"other C library", executable(t, string(orphan), 0o755), "/", "built for another C library", syscall.ENOENT},
		{"working directory", "/bin/true", "/does/not/exist", "enter its working directory: there is no /does/not/exist", syscall.ENOENT},
		{"working file", "/bin/true", "/etc/passwd", "/etc/passwd is no directory", syscall.ENOTDIR},
	} {
		t.Run(c.name, func(t *testing.T) {
			for way, cmd := range ways(Cmd{Path: c.path, Args: []string{"x"}, Dir: c.dir, Umask: 0o22, Stdout: os.Stderr, Stderr: os.Stderr}) {
				_, err := s.Start(cmd)
				var e *Error
				if !errors.As(err, &e) || !strings.Contains(e.Error(), c.want) || !errors.Is(err, c.errno) || e.Temporary() {
					t.Errorf("%s: %v; want %q and %v", way, err, c.want, c.errno)
				}
			}
		})
	}
	path := executable(t, "#!/bin/sh\n", 0o755)
	f, err := os.OpenFile(path, os.O_WRONLY, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	_, err = s.Start(Cmd{Path: path, Args: []string{"x"}, Dir: "/", Umask: 0o22, Stdout: os.Stderr, Stderr: os.Stderr})
	var e *Error
	if !errors.As(err, &e) || !e.Temporary() || !strings.Contains(err.Error(), "still writing") {
		t.Errorf("a busy file: %v, want a temporary error", err)
	}
}

func TestLauncherReportsAnImpossibleLimit(t *testing.T) {
	s := newSpawner(t)
	c := script("true")
	c.Rlimits = []Rlimit{{"nofile", math.MaxUint64, math.MaxUint64}} // above fs.nr_open, which even root may not
	c.Stdout, c.Stderr = os.Stderr, os.Stderr
	if _, err := s.Start(c); err == nil || !strings.Contains(err.Error(), "set its process limits") {
		t.Errorf("got %v", err)
	}
}

func TestNoZombiesAreLeftByErrors(t *testing.T) {
	s := newSpawner(t)
	for _, c := range ways(Cmd{Path: "/does/not/exist", Args: []string{"x"}, Dir: "/", Umask: 0o22, Stdout: os.Stderr, Stderr: os.Stderr}) {
		s.Start(c)
	}
	for pid := range procfs.PIDs() {
		if st, err := procfs.ReadStat(pid); err == nil && st.PPID == os.Getpid() && st.Dead() {
			t.Errorf("%+v was not reaped", st)
		}
	}
}

func BenchmarkStart(b *testing.B) {
	s := newSpawner(b)
	null, err := os.OpenFile(os.DevNull, os.O_WRONLY, 0)
	if err != nil {
		b.Fatal(err)
	}
	c := Cmd{Path: "/bin/true", Args: []string{"true"}, Dir: "/", Umask: 0o22, Stdout: null, Stderr: null, Tag: uint64(procfs.NewTag())}
	all := ways(c)
	other := c
	other.Umask = 0o27
	all["with another umask"] = other
	for name, c := range all {
		b.Run(name, func(b *testing.B) {
			for b.Loop() {
				p, err := s.Start(c)
				if err != nil {
					b.Fatal(err)
				}
				end(p)
			}
		})
	}
}
