package driverstest

import (
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"

	"reconciler.dev/reconciler/pkg/drivers"
	"reconciler.dev/reconciler/pkg/spec"
)

// placesCases are the promises of a driver that is a Placer.
func placesCases() []testCase {
	return []testCase{
		{"a place is that of the instance that is observed", func(b *bench) {
			o := b.start(b.daemon("web", b.stay()))
			b.wantPlace("web", o)
			b.must(spec.VerbStop, b.daemon("web", b.stay()))
			b.wantPlace("web", b.observe("web"))
			b.wantPlace("web", b.start(b.daemon("web", b.stay())))
		}},
		{"places come in the order of the names, and without names for all", func(b *bench) {
			p, ok := drivers.Find[drivers.Placer](b.Driver)
			if !ok {
				return
			}
			for _, name := range []string{"web", "api"} {
				b.start(b.daemon(name, b.stay()))
			}
			for _, names := range [][]string{{"web", "none", "api", "web"}, nil} {
				places, err := p.Places(b.ctx(), names...)
				if err != nil {
					b.t.Fatal(err)
				}
				var got []string
				for _, p := range places {
					got = append(got, p.Name)
					if (p.State == spec.Absent) != (p.Name == "none") {
						b.t.Errorf("%s is %s", p.Name, p.State)
					}
				}
				if names == nil {
					slices.Sort(got)
					names = []string{"api", "web"}
				}
				if !slices.Equal(got, names) {
					b.t.Errorf("asked for %v and got %v", names, got)
				}
			}
		}},
		{"a place outlives the value that started it", func(b *bench) {
			o := b.start(b.daemon("web", b.stay()))
			b.Driver = b.Reopen()
			b.wantPlace("web", o)
		}},
	}
}

// wantPlace fails where a Placer says something else of a daemon than Observe does.
func (b *bench) wantPlace(name string, o spec.Observed) {
	b.t.Helper()
	p, ok := drivers.Find[drivers.Placer](b.Driver)
	if !ok {
		return
	}
	places, err := p.Places(b.ctx(), name)
	if err != nil {
		b.t.Fatal(err)
	}
	got := places[0]
	if o.State != spec.Running {
		if got.State != o.State || got.Instance != "" || got.Dir != "" || got.PIDs != nil {
			b.t.Errorf("it is %s, and its place is %+v", o.State, got)
		}
		return
	}
	if got.State != spec.Running || got.Instance != o.Instance.ID || got.Cgroup != o.Cgroup {
		b.t.Errorf("instance %s runs in cgroup %q, and its place is %+v", o.Instance.ID, o.Cgroup, got)
	}
	pids := got.PIDs
	if got.Dir != "" {
		text, err := os.ReadFile(filepath.Join(got.Dir, "cgroup.procs"))
		if err != nil {
			b.t.Fatal(err)
		}
		for word := range strings.FieldsSeq(string(text)) {
			pid, _ := strconv.Atoi(word) // there is nothing else in there
			pids = append(pids, pid)
		}
	}
	if !slices.Contains(pids, o.Instance.PID) {
		b.t.Errorf("process %d isn't among those of its place: %v", o.Instance.PID, pids)
	}
}
