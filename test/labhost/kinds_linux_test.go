package labhost

import (
	"errors"
	"os"
	"os/exec"
	"os/user"
	"path/filepath"
	"strings"
	"testing"

	"golang.org/x/sys/unix"

	"reconciler.dev/reconciler/internal/testprog"
)

// What a test finds on each kind of host.
func TestKinds(t *testing.T) {
	for _, tt := range []struct {
		kind    Kind
		user    string
		systemd bool
		cgroup2 bool
	}{
		{Systemd, "root", true, true},
		{SystemdNext, "root", true, true},
		{SystemdUser, "alice", true, true},
		{Delegated, "alice", true, true},
		{Cgroup, "root", false, true},
		{Bare, "root", false, false},
	} {
		t.Run(string(tt.kind), func(t *testing.T) {
			t.Parallel()
			Test(t, tt.kind, func(t *testing.T) {
				me, err := user.Current()
				if err != nil {
					t.Fatal(err)
				}
				if me.Username != tt.user {
					t.Errorf("run as %s, want %s", me.Username, tt.user)
				}
				if _, err := os.Stat("/run/systemd/system"); (err == nil) != tt.systemd { // sd_booted(3)
					t.Errorf("is systemd there? %v, want %v", err, tt.systemd)
				}
				var st unix.Statfs_t
				if err := unix.Statfs("/sys/fs/cgroup", &st); err != nil {
					t.Fatal(err)
				}
				if got := st.Type == unix.CGROUP2_SUPER_MAGIC; got != tt.cgroup2 {
					t.Errorf("is a cgroup v2 there? %v, want %v", got, tt.cgroup2)
				}
				t.Run("cgroup", func(t *testing.T) { checkCgroup(t, tt.kind) })
				t.Run("working directory", func(t *testing.T) {
					if _, err := os.Stat("doc.go"); err != nil {
						t.Error(err)
					}
					if err := os.WriteFile("new", nil, 0o644); !errors.Is(err, unix.EROFS) {
						t.Errorf("wrote to it: %v", err)
					}
				})
				t.Run("test program", func(t *testing.T) {
					if out, err := exec.Command(os.Getenv("RECONCILER_TESTPROG"), testprog.Options{Report: filepath.Join(t.TempDir(), "report"), Exit: 7}.Args()...).CombinedOutput(); err == nil || err.Error() != "exit status 7" {
						t.Errorf("%v: %s", err, out)
					}
				})
				if tt.user == "alice" {
					t.Run("user manager", func(t *testing.T) {
						if out, err := exec.Command("systemctl", "--user", "is-active", "basic.target").CombinedOutput(); err != nil {
							t.Errorf("%v: %s", err, out)
						}
					})
				}
			})
		})
	}
}

// checkCgroup is about the cgroup that a test itself is in, and what it may do there.
func checkCgroup(t *testing.T, kind Kind) {
	self, err := os.ReadFile("/proc/self/cgroup")
	if err != nil {
		t.Fatal(err)
	}
	var path string
	for line := range strings.Lines(string(self)) {
		if p, ok := strings.CutPrefix(strings.TrimSpace(line), "0::"); ok {
			path = p
		}
	}
	child := "/sys/fs/cgroup" + path + "/child"
	switch kind {
	case Systemd, SystemdNext:
		if !strings.HasPrefix(path, "/system.slice/run-") {
			t.Errorf("it is %s, want that of a service", path)
		}
	case SystemdUser, Delegated:
		if !strings.HasPrefix(path, "/user.slice/user-1000.slice/user@1000.service/app.slice/run-") {
			t.Errorf("it is %s, want that of a service of alice", path)
		}
	case Cgroup:
		if path != "/test" {
			t.Errorf("it is %s, want /test", path)
		}
	case Bare:
		if err := os.Mkdir("/sys/fs/cgroup/child", 0o755); err == nil {
			t.Error("a directory could be made where there is no cgroup")
		}
		return
	}
	if err := os.Mkdir(child, 0o755); err != nil {
		t.Error(err)
	}
}
