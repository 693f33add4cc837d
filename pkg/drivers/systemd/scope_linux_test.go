package systemd

import (
	"errors"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"

	"reconciler.dev/reconciler/pkg/drivers"
)

// TestDetect: which manager daemons belong to, by who asks and what the machine has.
func TestDetect(t *testing.T) {
	me := os.Getuid()
	runtime := "/run/user/" + strconv.Itoa(me)
	for _, c := range []struct {
		name string
		uid  int
		env  map[string]string
		dirs []string
		// units and private are where they are found; remedy is part of what the error says where none is.
		units, private, remedy string
	}{
		{name: "root where systemd is the first process", dirs: []string{"/run/systemd/system"}, units: "/etc/systemd/system", private: "/run/systemd/private"},
		{name: "root where it isn't", dirs: []string{"/run/systemd"}, remedy: "first process"},
		{name: "root isn't led to a user's manager by the environment", env: map[string]string{"XDG_RUNTIME_DIR": runtime}, dirs: []string{runtime + "/systemd"}, remedy: "first process"},
		{name: "a user with a manager", uid: -1, env: map[string]string{"XDG_RUNTIME_DIR": runtime}, dirs: []string{"/run/systemd/system", runtime + "/systemd"},
			units: "/home/me/.config/systemd/user", private: runtime + "/systemd/private"},
		{name: "a user below sudo or cron, without the variable", uid: -1, dirs: []string{"/run/systemd/system", runtime + "/systemd"},
			units: "/home/me/.config/systemd/user", private: runtime + "/systemd/private"},
		{name: "a user with another place for configuration", uid: -1, env: map[string]string{"XDG_CONFIG_HOME": "/conf"}, dirs: []string{"/run/systemd/system", runtime + "/systemd"},
			units: "/conf/systemd/user", private: runtime + "/systemd/private"},
		{name: "a relative place for configuration is none", uid: -1, env: map[string]string{"XDG_CONFIG_HOME": "conf"}, dirs: []string{"/run/systemd/system", runtime + "/systemd"},
			units: "/home/me/.config/systemd/user", private: runtime + "/systemd/private"},
		{name: "a user who doesn't linger", uid: -1, dirs: []string{"/run/systemd/system"}, remedy: "loginctl enable-linger"},
		{name: "a user where there is no systemd", uid: -1, remedy: "first process"},
		{name: "a directory that is another user's", uid: 4242, env: map[string]string{"XDG_RUNTIME_DIR": runtime}, dirs: []string{"/run/systemd/system", runtime + "/systemd"}, remedy: "belongs to user"},
	} {
		t.Run(c.name, func(t *testing.T) {
			root := t.TempDir()
			for _, d := range c.dirs {
				if err := os.MkdirAll(filepath.Join(root, d), 0o755); err != nil {
					t.Fatal(err)
				}
			}
			e := environment{getenv: func(k string) string { return c.env[k] }, uid: c.uid, home: "/home/me", root: root}
			var s scope
			var err error
			switch {
			case c.uid == 0:
				s, err = detect(e)
			case c.uid < 0:
				e.uid = me
				s, err = e.own() // also where it is root who runs this test
			default:
				s, err = detect(e)
			}
			if c.remedy != "" {
				var lack *drivers.Unavailable
				if !errors.As(err, &lack) || !errors.Is(err, drivers.ErrUnsupported) || !strings.Contains(err.Error(), c.remedy) {
					t.Fatalf("got %v, want that it is unavailable, with %q", err, c.remedy)
				}
				return
			}
			if err != nil {
				t.Fatal(err)
			}
			if s.units != root+c.units || s.private != root+c.private || s.user != (c.uid != 0) {
				t.Errorf("got %+v, want %s and %s", s, c.units, c.private)
			}
			for _, dir := range append(s.dirs(), append(s.editable(), s.wants, s.exported)...) {
				if !strings.HasPrefix(dir, root+"/") {
					t.Errorf("%s is outside of the machine", dir)
				}
			}
		})
	}
}

func TestUnitPaths(t *testing.T) {
	for _, unit := range []string{"web.service", "a-b_c@1.service", "1.service", "x.service.d"} {
		if got := unitNamed(unitPath(unit)); got != unit {
			t.Errorf("%q became %q", unit, got)
		}
	}
	for _, path := range []string{"/org/freedesktop/systemd1", "/org/freedesktop/systemd1/job/1", "/org/freedesktop/systemd1/unit/"} {
		if got := unitNamed("/org/freedesktop/systemd1/job/1"); got != "" {
			t.Errorf("%s is taken for unit %q", path, got)
		}
	}
}
