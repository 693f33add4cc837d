package systemd

import (
	"errors"
	"os"
	"path/filepath"
	"testing"

	"github.com/google/go-cmp/cmp"

	"reconciler.dev/reconciler/pkg/drivers"
)

func TestService(t *testing.T) {
	for file, s := range map[string]Service{
		"service.golden": {
			Tool: "/usr/local/bin/reconciler", Version: 252,
			Args: []string{"run", "-f", "/etc/my daemons", "--set", `50% of "$HOME"`}, Env: map[string]string{"XDG_STATE_HOME": "/srv/state of %h"},
		},
		"service-user.golden": {Tool: "/home/alice/bin/reconciler", Args: []string{"run", "-f", "/home/alice/daemons"}, User: true, Cgroups: true, Version: 255},
	} {
		got, err := s.Text()
		if err != nil {
			t.Fatal(err)
		}
		file = filepath.Join("testdata", file)
		if *update {
			if err := os.WriteFile(file, got, 0o644); err != nil {
				t.Fatal(err)
			}
		}
		want, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff(string(want), string(got)); diff != "" {
			t.Errorf("%s: %s", file, diff)
		}
		if !IsService(got) || IsService(append([]byte("# an administrator's\n"), got...)) {
			t.Error("our own unit isn't told from others")
		}
		if stamp, err := ParseStamp(got); stamp != nil || err != nil {
			t.Errorf("it is taken for a daemon's: %v, %v", stamp, err)
		}
	}
	for _, s := range []Service{
		{Tool: `/opt/"quoted"/reconciler`}, {Tool: "/r", Args: []string{"a\x01b"}}, {Tool: "/r", Args: []string{"\xff"}}, {Tool: "/r", Env: map[string]string{"A": "\x7f"}},
		{Tool: "/r", Cgroups: true, Version: 252},
	} {
		if _, err := s.Text(); !errors.Is(err, drivers.ErrUnsupported) {
			t.Errorf("%+v: got %v", s, err)
		}
	}
}
