package local

import (
	"context"
	"errors"
	"net"
	"os"
	"slices"
	"sync"
	"testing"
	"time"

	"reconciler.dev/reconciler/internal/layout"
	"reconciler.dev/reconciler/pkg/drivers"
	"reconciler.dev/reconciler/pkg/drivers/driverstest"
	"reconciler.dev/reconciler/pkg/spec"
)

// placing is a driver that says where daemons are.
type placing struct {
	drivers.Driver
	mu     sync.Mutex
	places map[string]drivers.Place
	err    error
	asked  [][]string
}

func (p *placing) Places(_ context.Context, names ...string) (found []drivers.Place, err error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.asked = append(p.asked, names)
	for _, place := range p.places {
		if len(names) == 0 {
			found = append(found, place)
		}
	}
	for _, name := range names {
		place, there := p.places[name]
		if !there {
			place = drivers.Place{Name: name, State: spec.Absent}
		}
		found = append(found, place)
	}
	return found, p.err
}

// rounds is how often it was asked since the last time.
func (p *placing) rounds() int {
	p.mu.Lock()
	defer p.mu.Unlock()
	defer func() { p.asked = nil }()
	return len(p.asked)
}

// measured is a host with a daemon web, which is this process, and one that has ended.
func measured() (*Host, *placing) {
	p := &placing{Driver: driverstest.NewFake(), places: map[string]drivers.Place{
		"web": {Name: "web", State: spec.Running, Instance: "i1", PIDs: []int{os.Getpid()}},
		"job": {Name: "job", State: spec.Exited},
	}}
	return New(layout.Under(os.TempDir()), p), p
}

func stats(t *testing.T, h *Host, q drivers.StatsQuery) []spec.Sample {
	t.Helper()
	all, err := h.Stats(t.Context(), q)
	if err != nil {
		t.Fatal(err)
	}
	return all
}

func names(all []spec.Sample) (names []string) {
	for _, s := range all {
		names = append(names, s.Name)
	}
	return names
}

func TestStatsOfThisProcess(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	h, _ := measured()
	all := stats(t, h, drivers.StatsQuery{Names: []string{}, Ports: true})
	if got := names(all); !slices.Equal(got, []string{"job", "web"}) {
		t.Fatalf("got %v", got)
	}
	if job := all[0]; job.State != spec.Exited || job.CPU.Usage != nil || job.Tasks != nil || job.Missing != nil {
		t.Errorf("what has ended uses %+v", job)
	}
	web := all[1]
	if web.Driver != spec.DriverProcess || web.Instance != "i1" || web.Clock <= 0 {
		t.Errorf("got %+v", web)
	}
	if web.Memory.Current == nil || *web.Memory.Current < 1<<20 || *web.Memory.Current > 1<<30 || *web.Tasks < 2 || *web.OpenFiles < 3 || *web.CPU.Limit != spec.Unbounded {
		t.Errorf("got %+v", web)
	}
	port := l.Addr().(*net.TCPAddr).Port
	if !slices.ContainsFunc(web.Ports, func(p spec.Port) bool { return p.Port == port && p.Network == "tcp" && p.PID == os.Getpid() }) {
		t.Errorf("it listens on %d, and %+v is said", port, web.Ports)
	}
	for _, field := range []string{"memory.peak", "pressure", "net"} {
		if !slices.ContainsFunc(web.Missing, func(l spec.Loss) bool { return l.Field == field && l.Reason != "" }) {
			t.Errorf("nothing says why %s isn't known: %+v", field, web.Missing)
		}
	}
}

func TestOnePassHoweverManyAsk(t *testing.T) {
	h, p := measured()
	var wg sync.WaitGroup
	for range 20 {
		wg.Go(func() {
			if all, err := h.Stats(t.Context(), drivers.StatsQuery{MaxAge: time.Hour}); err != nil || len(all) != 2 {
				t.Errorf("got %v, %v", all, err)
			}
		})
	}
	wg.Wait()
	if n := p.rounds(); n != 1 {
		t.Errorf("20 who accept figures of an hour ago took %d passes", n)
	}
	first := stats(t, h, drivers.StatsQuery{Names: []string{"web"}, MaxAge: time.Hour})[0]
	if n := p.rounds(); n != 0 {
		t.Errorf("one of them was read again")
	}
	if now := stats(t, h, drivers.StatsQuery{Names: []string{"web"}})[0]; now.Clock <= first.Clock || p.rounds() != 1 {
		t.Errorf("who accepts nothing old got figures of %v, after those of %v", now.Clock, first.Clock)
	}
	if s := stats(t, h, drivers.StatsQuery{MaxAge: time.Hour, Ports: true}); s[1].Ports == nil || p.rounds() != 1 {
		t.Error("ports that nobody had asked for weren't read")
	}
	if s := stats(t, h, drivers.StatsQuery{MaxAge: time.Hour}); s[1].Ports == nil || p.rounds() != 0 {
		t.Error("figures with ports aren't good enough for one who doesn't ask for those")
	}
}

func TestStatsFollowTheNames(t *testing.T) {
	h, p := measured()
	all := stats(t, h, drivers.StatsQuery{Names: []string{"web", "none", "job", "web"}})
	if got := names(all); !slices.Equal(got, []string{"web", "none", "job", "web"}) {
		t.Errorf("got %v", got)
	}
	if all[1].State != spec.Absent || all[3].Tasks == nil {
		t.Errorf("got %+v", all)
	}
	stats(t, h, drivers.StatsQuery{})
	p.mu.Lock()
	delete(p.places, "job")
	p.mu.Unlock()
	if got := names(stats(t, h, drivers.StatsQuery{})); !slices.Equal(got, []string{"web"}) {
		t.Errorf("what was removed is still told: %v", got)
	}
}

func TestStatsThatCantBeRead(t *testing.T) {
	h, p := measured()
	p.err = errors.New("it broke")
	if all, err := h.Stats(t.Context(), drivers.StatsQuery{}); err == nil {
		t.Errorf("got %+v", all)
	}
	p.err = nil
	p.places["web"] = drivers.Place{Name: "web", State: spec.Unknown, Message: "who knows"}
	if s := stats(t, h, drivers.StatsQuery{Names: []string{"web"}})[0]; s.State != spec.Unknown || s.Message != "who knows" || s.Tasks != nil {
		t.Errorf("got %+v", s)
	}
	h.sampler.turn <- struct{}{} // somebody is at it
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := h.Stats(ctx, drivers.StatsQuery{}); !errors.Is(err, context.Canceled) {
		t.Errorf("who gave up waiting got %v", err)
	}
}

// TestStatsOfADriverThatTellsNoPlaces are read of what it observes.
func TestStatsOfADriverThatTellsNoPlaces(t *testing.T) {
	fake := driverstest.NewFake()
	want := &spec.Daemon{Metadata: spec.Metadata{Name: "web"}, Spec: spec.Spec{Binary: "/bin/web"}, Digest: "sha256:0"}
	if err := fake.Apply(t.Context(), spec.Step{Verb: spec.VerbStart, Name: "web", Want: want, Generation: 1}); err != nil {
		t.Fatal(err)
	}
	tree := treeOf{fake, []int{os.Getpid()}}
	h := New(layout.Under(t.TempDir()), tree)
	all := stats(t, h, drivers.StatsQuery{})
	if len(all) != 1 || all[0].State != spec.Running || all[0].Instance == "" || !slices.Equal(all[0].PIDs, tree.pids) || all[0].Memory.Current == nil {
		t.Errorf("got %+v", all)
	}
}

// treeOf is a driver that knows processes, and no places.
type treeOf struct {
	drivers.Driver
	pids []int
}

func (d treeOf) PIDs(context.Context, string) ([]int, error) { return d.pids, nil }

// A look at the processes alone costs no figures, and its result is no answer to who asks for those; the other way round it is.
func TestBareStats(t *testing.T) {
	h, p := measured()
	bare := stats(t, h, drivers.StatsQuery{Names: []string{"web"}, Bare: true, Ports: true})[0]
	if bare.CPU.Usage != nil || bare.Memory.Current != nil || !slices.Equal(bare.PIDs, []int{os.Getpid()}) || bare.Ports == nil || bare.Missing != nil {
		t.Errorf("%+v", bare)
	}
	p.rounds()
	if full := stats(t, h, drivers.StatsQuery{Names: []string{"web"}, MaxAge: time.Hour})[0]; full.CPU.Usage == nil || p.rounds() != 1 {
		t.Errorf("%+v", full)
	}
	if again := stats(t, h, drivers.StatsQuery{Names: []string{"web"}, MaxAge: time.Hour, Bare: true})[0]; again.PIDs == nil || p.rounds() != 0 {
		t.Errorf("%+v", again)
	}
}

// TestBothCopiesOfADaemonAreMeasured, each by itself, and each goes on from what was remembered of it.
func TestBothCopiesOfADaemonAreMeasured(t *testing.T) {
	h, p := measured()
	web := p.places["web"]
	web.Outgoing = &drivers.Place{Name: "web", State: spec.Running, Instance: "i0", PIDs: []int{os.Getppid()}}
	p.places["web"] = web
	for _, bare := range []bool{false, true} {
		s := stats(t, h, drivers.StatsQuery{Names: []string{"web"}, Bare: bare, Ports: true})[0]
		if s.Instance != "i1" || !slices.Equal(s.PIDs, []int{os.Getpid()}) {
			t.Errorf("the present one is %+v", s)
		}
		if out := s.Outgoing; out == nil || out.Name != "web" || out.Instance != "i0" || !slices.Equal(out.PIDs, []int{os.Getppid()}) || out.Ports == nil || !bare && out.Memory.Current == nil {
			t.Errorf("the one that is to go is %+v", out)
		}
	}
}
