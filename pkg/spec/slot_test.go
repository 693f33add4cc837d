package spec

import (
	"testing"

	"github.com/google/go-cmp/cmp"
)

func TestACopyIsWhatItsSlotMakesOfTheSpec(t *testing.T) {
	value, first, second := "port 808$(SLOT)", "port 8080", "port 8081"
	s := Spec{
		Binary: "/bin/web$(SLOT)", Args: []string{"--port=808$(SLOT)", "$(SLOT)$(SLOT)"}, Env: map[string]EnvVar{"A": {Value: &value}, "B": {FromEnv: "B"}},
		Health: &Health{URL: "http://localhost:808$(SLOT)/health", Exec: []string{"check", "$(SLOT)"}}, Stop: Stop{URL: "http://localhost:808$(SLOT)/stop"},
		Metrics: &Metrics{URL: "http://localhost:909$(SLOT)/"},
		Reload:  &Reload{URL: "http://localhost:808$(SLOT)/reload", Expect: &ReloadExpect{URL: "http://localhost:808$(SLOT)/version"}},
		Cgroup:  &Cgroup{Service: "web", Instance: "a"}, Update: &Update{Strategy: UpdateStartFirst},
	}
	text := func(v, slot string) Spec {
		return Spec{
			Binary: "/bin/web$(SLOT)", Args: []string{"--port=808" + slot, slot + slot}, Env: map[string]EnvVar{"A": {Value: &v}, "B": {FromEnv: "B"}},
			Health: &Health{URL: "http://localhost:808" + slot + "/health", Exec: []string{"check", slot}}, Stop: Stop{URL: "http://localhost:808" + slot + "/stop"},
			Metrics: &Metrics{URL: "http://localhost:909" + slot + "/"},
			Reload:  &Reload{URL: "http://localhost:808" + slot + "/reload", Expect: &ReloadExpect{URL: "http://localhost:808" + slot + "/version"}},
			Cgroup:  &Cgroup{Service: "web", Instance: "a"}, Update: &Update{Strategy: UpdateStartFirst},
		}
	}
	wantFirst, wantSecond := text(first, "0"), text(second, "1")
	wantSecond.Cgroup.Service, wantSecond.Cgroup.Instance = "", ""
	if diff := cmp.Diff(wantFirst, s.InSlot(0)); diff != "" {
		t.Errorf("slot 0:\n%s", diff)
	}
	if diff := cmp.Diff(wantSecond, s.InSlot(1)); diff != "" {
		t.Errorf("slot 1:\n%s", diff)
	}
	if s.Args[0] != "--port=808$(SLOT)" || *s.Env["A"].Value != value || s.Cgroup.Instance != "a" {
		t.Errorf("the spec itself was changed: %+v", s)
	}
	s.Update = nil
	if diff := cmp.Diff(s, s.InSlot(0)); diff != "" {
		t.Errorf("without StartFirst it is text:\n%s", diff)
	}
}

func TestNamesOfCopies(t *testing.T) {
	for name, want := range map[string]struct {
		logical string
		slot    int
	}{"web": {"web", 0}, "web_1": {"web", 1}, "web-1": {"web-1", 0}} {
		if logical, slot := LogicalName(name); logical != want.logical || slot != want.slot {
			t.Errorf("%s is %s in slot %d", name, logical, slot)
		}
	}
	if logical, slot := LogicalName(SecondName("web")); logical != "web" || slot != 1 {
		t.Errorf("the second of web is %s in slot %d", logical, slot)
	}
}
