package main

import (
	"bufio"
	"encoding/json"
	"errors"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"reconciler.dev/reconciler/pkg/drivers"
	"reconciler.dev/reconciler/pkg/drivers/driverstest"
	"reconciler.dev/reconciler/pkg/spec"
)

// burning makes every daemon of a machine use one and a half cores.
func burning(h *driverstest.Host) {
	h.Uses(func(s *spec.Sample) {
		usage, memory, limit := s.Clock*3/2, int64(64<<20), spec.Unbounded
		s.CPU.Usage, s.CPU.Limit, s.Memory.Current = &usage, &limit, &memory
		s.Memory.Anon, s.OOMKills, s.Pressure.CPU = new(int64(60<<20)), new(int64(2)), &spec.Stalls{Some: &spec.Stall{Avg10: 7}}
		s.GPUs = []spec.GPUUse{{UUID: "GPU-1", Memory: new(int64(20 << 30)), Utilisation: new(97.0)}, {UUID: "GPU-2", Memory: new(int64(1 << 30))}}
		s.Missing = []spec.Loss{{Field: "io", Reason: "who\x1b[2J knows"}}
	})
}

func startOn(t *testing.T, h *driverstest.Host, names ...string) {
	t.Helper()
	for _, name := range names {
		want := &spec.Daemon{Metadata: spec.Metadata{Name: name}, Spec: spec.Spec{Binary: "/bin/" + name}, Digest: "sha256:0"}
		if err := h.Fake().Apply(t.Context(), spec.Step{Verb: spec.VerbStart, Name: name, Want: want, Generation: 1}); err != nil {
			t.Fatal(err)
		}
	}
}

// bubbleDesk is a desk with two far machines, one of which can't be reached; in a bubble.
func bubbleDesk(t *testing.T) *desk {
	d := newDesk(t)
	d.host = newBubbleHost()
	there := newBubbleHost()
	d.far = map[string]*driverstest.Far{"gpu-1": driverstest.NewFar("gpu-1", there), "gpu-2": driverstest.NewFar("gpu-2", newBubbleHost())}
	d.far["gpu-2"].Cut("no route to host")
	startOn(t, d.host, "web", "job")
	startOn(t, there, "web")
	burning(d.host)
	burning(there)
	return d
}

func TestStatsAndTop(t *testing.T) {
	root := mustGetwd(t)
	synctest.Test(t, func(t *testing.T) {
		d := bubbleDesk(t)
		d.host.Fake().Crash("job", spec.Exit{Known: true, Code: 1})
		d.must(0, "stats", "--count", "2")
		d.must(0, "stats", "web", "--count", "1", "--no-headers")
		d.must(0, "stats", "web", "job", "-o", "wide", "--count", "1")
		d.must(1, "stats", "web", "none", "--count", "1")
		d.must(exitPartial, "stats", "--host", "localhost,gpu-2", "--count", "1")
		d.must(0, "top", "--once")
		d.must(0, "top", "--once", "--sort", "name", "web")
		d.must(0, "top", "--once", "-o", "wide")
		d.must(exitPartial, "top", "--once", "--host", "gpu-1,gpu-2")
		d.must(exitInput, "top", "-o", "json")
		d.must(exitInput, "stats", "--interval", "1ms")
		d.golden(root, "stats")
	})
}

func TestStatsForPrograms(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		d := bubbleDesk(t)
		out, _ := d.must(0, "stats", "web", "-o", "json", "--host", "localhost,gpu-1", "--count", "3", "--interval", "10s")
		seen := map[string]int{}
		for lines := bufio.NewScanner(strings.NewReader(out)); lines.Scan(); {
			var m measured
			if err := json.Unmarshal(lines.Bytes(), &m); err != nil {
				t.Fatal(err)
			}
			if seen[m.Host]++; seen[m.Host] == 1 && m.Rates == nil {
				continue
			}
			if m.Rates == nil || *m.Rates.CPU != 1.5 || m.Rates.Over != 10*time.Second || m.Rates.ReadBytes != nil {
				t.Errorf("measurement %d of %s has rates %+v", seen[m.Host], m.Host, m.Rates)
			}
		}
		if seen["localhost"] != 3 || seen["gpu-1"] != 3 {
			t.Errorf("measured %v, want 3 times each", seen)
		}
		if strings.ContainsRune(out, '\x1b') {
			t.Error("an escape reaches the terminal")
		}
		out, _ = d.must(0, "top", "--once", "-o", "json", "--sort", "name")
		var list struct{ Items []measured }
		if err := json.Unmarshal([]byte(out), &list); err != nil || len(list.Items) != 2 || *list.Items[1].Rates.CPU != 1.5 {
			t.Errorf("got %s, %v", out, err)
		}
	})
}

// TestAHostThatIsLostKeepsNobodyWaiting: the others are measured on.
func TestAHostThatIsLostKeepsNobodyWaiting(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		d := bubbleDesk(t)
		var all []*meter
		for _, at := range []string{"", "gpu-1"} {
			s, err := d.connect(t.Context(), d.cli(nil, nil), nil, at, d.cli(nil, nil).options("", false))
			if err != nil {
				t.Fatal(err)
			}
			all = append(all, &meter{site: &site{session: s, at: at}})
		}
		here, lost := 0, 0
		err := measure(t.Context(), all, time.Second, 0, func(m *meter, found []measured, err error) bool {
			switch {
			case err != nil:
				lost++
				if !errors.Is(err, drivers.ErrUnreachable) || m.at != "gpu-1" {
					t.Errorf("%s: %v", m.name(), err)
				}
			case m.at == "":
				if here++; here == 3 {
					d.far["gpu-1"].Cut("pulled")
				}
			}
			return here < 10
		})
		if err != nil || here != 10 || lost != 1 {
			t.Errorf("measured %d times here, and lost the other %d times: %v", here, lost, err)
		}
	})
}
