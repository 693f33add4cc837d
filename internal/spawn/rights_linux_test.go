package spawn

import (
	"fmt"
	"os"
	"strings"
	"testing"
)

// rightsOf are what a child says of its rights.
func rightsOf(t *testing.T, s *Spawner, c Cmd) map[string]string {
	t.Helper()
	text, status := output(t, s, c)
	if status != 0 {
		t.Fatalf("it ended with %v: %s", status, text)
	}
	all := map[string]string{}
	for line := range strings.Lines(text) {
		name, value, _ := strings.Cut(line, ":")
		all[name] = strings.TrimSpace(value)
	}
	return all
}

func status() Cmd { return script("cat /proc/self/status") }

func TestNoNewPrivileges(t *testing.T) {
	s := newSpawner(t)
	for _, want := range []string{"0", "1"} {
		c := status()
		c.NoNewPrivileges = want == "1"
		if got := rightsOf(t, s, c)["NoNewPrivs"]; got != want {
			t.Errorf("NoNewPrivs is %s, want %s", got, want)
		}
	}
}

// TestCapabilities: what is kept is all that a child and its children can ever have; a user other than root starts with it.
func TestCapabilities(t *testing.T) {
	s := newSpawner(t)
	const chown, bind = 0, 10
	if os.Geteuid() != 0 {
		if MayDropCapabilities() {
			t.Error("who isn't root may drop capabilities")
		}
		c := status()
		c.Capabilities, c.Stdout, c.Stderr = []int{bind}, os.Stderr, os.Stderr
		if _, err := s.Start(c); err == nil || !strings.Contains(err.Error(), "give up rights") {
			t.Errorf("got %v", err)
		}
		return
	}
	mask := func(caps ...int) string {
		var m uint64
		for _, c := range caps {
			m |= 1 << c
		}
		return fmt.Sprintf("%016x", m)
	}
	nobody := &Account{UID: 65534, GID: 65534, Groups: []uint32{65534}}
	for name, tt := range map[string]struct {
		account *Account
		keep    []int
		want    map[string]string
	}{
		"root keeps some":        {nil, []int{chown, bind}, map[string]string{"CapBnd": mask(chown, bind), "CapPrm": mask(chown, bind), "CapEff": mask(chown, bind)}},
		"root keeps none":        {nil, []int{}, map[string]string{"CapBnd": mask(), "CapPrm": mask(), "CapEff": mask()}},
		"another user gets some": {nobody, []int{bind}, map[string]string{"CapBnd": mask(bind), "CapPrm": mask(bind), "CapEff": mask(bind), "CapAmb": mask(bind), "CapInh": mask(bind)}},
		"another user gets none": {nobody, []int{}, map[string]string{"CapBnd": mask(), "CapPrm": mask(), "CapEff": mask(), "CapAmb": mask()}},
		"another user as ever":   {nobody, nil, map[string]string{"CapPrm": mask(), "CapEff": mask(), "CapAmb": mask()}},
	} {
		t.Run(name, func(t *testing.T) {
			c := status()
			c.Account, c.Capabilities = tt.account, tt.keep
			got := rightsOf(t, s, c)
			for field, want := range tt.want {
				if got[field] != want {
					t.Errorf("%s is %s, want %s", field, got[field], want)
				}
			}
		})
	}
	if got := rightsOf(t, s, status()); got["CapBnd"] == mask() || got["CapEff"] == mask() {
		t.Errorf("the next child has %s of %s", got["CapEff"], got["CapBnd"])
	}
}
