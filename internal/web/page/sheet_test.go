package page

import (
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"reconciler.dev/reconciler/internal/web"
	"reconciler.dev/reconciler/internal/web/webtest"
	"reconciler.dev/reconciler/pkg/spec"
)

// reader is a page as its script keeps it: elements by id, each with the words of its parts.
type reader struct {
	version  uint64
	elements map[int]map[string]string
}

// told is an update as it travels.
type told struct {
	T                          int64
	Hosts, Rows, States, Notes [][]any
	Figures                    []any
	Gone                       []int
}

func (r *reader) apply(t *testing.T, text []byte) (u told) {
	t.Helper()
	if err := json.Unmarshal(text, &u); err != nil {
		t.Fatalf("%s: %v", text, err)
	}
	put := func(part string, one []any) {
		id := int(one[0].(float64))
		if r.elements[id] == nil {
			r.elements[id] = map[string]string{}
		}
		r.elements[id][part] = fmt.Sprint(one[1:]...)
	}
	for part, list := range map[string][][]any{"host": u.Hosts, "row": u.Rows, "state": u.States, "note": u.Notes} {
		for _, one := range list {
			put(part, one)
		}
	}
	for i := 0; i < len(u.Figures); i += 4 {
		put("figures", u.Figures[i:i+4])
	}
	for _, id := range u.Gone {
		delete(r.elements, id)
	}
	return u
}

// catchUp reads all there is, and returns how many updates and bytes that took.
func (r *reader) catchUp(t *testing.T, s *sheet) (updates, most int) {
	t.Helper()
	for {
		u, next, ok := s.since(r.version, 0, noon())
		if !ok {
			t.Fatalf("a reader at version %d is lost", r.version)
		}
		r.version = next
		if u == nil {
			return updates, most
		}
		text := u.text()
		r.apply(t, text)
		updates, most = updates+1, max(most, len(text))
		if !u.more {
			return updates, most
		}
	}
}

// A reader that began at any time, and was away at any, comes to the same page as one that begins now.
func TestReadersComeToTheSame(t *testing.T) {
	for seed := range uint64(20) {
		r := rand.New(rand.NewPCG(seed, 1))
		v := webtest.New(3, 6)
		s, now := newSheet(v), noon()
		old := &reader{elements: map[int]map[string]string{}}
		for step := range 60 {
			host, name := []string{"localhost", "gpu-1", "gpu-2"}[r.IntN(3)], fmt.Sprintf("worker-%d", r.IntN(8))
			switch d := running(); r.IntN(5) {
			case 0:
				v.Forget(host, name)
			case 1:
				d.Host, d.Name, d.Phase = host, name, fmt.Sprint("P", step)
				v.See(d)
			case 2:
				u := using(r.Float64(), r.Int64N(1<<30))
				u.Name = name
				v.SetUsage(host, u)
			case 3:
				h, _ := v.Host(host)
				h.Name, h.Reachable, h.Why = host, r.IntN(2) == 0, fmt.Sprint("why ", step)
				v.Put(h)
			case 4:
				if r.IntN(10) == 0 {
					v.Drop(host)
				}
			}
			now = now.Add(time.Second)
			s.refresh(now)
			if r.IntN(3) == 0 {
				old.catchUp(t, s)
			}
		}
		old.catchUp(t, s)
		fresh := &reader{elements: map[int]map[string]string{}}
		fresh.catchUp(t, s)
		if diff := cmp.Diff(fresh.elements, old.elements); diff != "" {
			t.Fatalf("seed %d: a new reader has (-), one that was there all along (+):\n%s", seed, diff)
		}
		if n := len(s.hosts) + len(s.daemons); n != len(fresh.elements) {
			t.Fatalf("seed %d: %d elements of %d hosts and daemons", seed, len(fresh.elements), n)
		}
	}
}

func TestAnUpdateIsSmall(t *testing.T) {
	v := webtest.New(1, 500)
	s := newSheet(v)
	s.refresh(noon())
	r := &reader{elements: map[int]map[string]string{}}
	r.catchUp(t, s)
	change := func(what string, most int, f func(host, name string, i int)) {
		for i, d := range v.Daemons() {
			f(d.Host, d.Name, i)
		}
		s.refresh(noon().Add(time.Hour))
		s.read = time.Time{}
		n, bytes := r.catchUp(t, s)
		t.Logf("%s: %d updates of %d bytes at most", what, n, bytes)
		if n > most || bytes > 10000-100 { // an event has a line for its id around it
			t.Errorf("%s of 500 daemons takes %d updates of up to %d bytes", what, n, bytes)
		}
	}
	change("first figures of all", 10, func(host, name string, i int) {
		u := using(1, 1<<20)
		u.Name = name
		v.SetUsage(host, u)
	})
	change("a new state of one", 1, func(host, name string, i int) {
		if i == 77 {
			d := running()
			d.Name, d.Phase, d.Conditions[0].Message = name, "Stopping", strings.Repeat("no end ", 100)
			v.See(d)
		}
	})
	change("new figures of all", 1, func(host, name string, i int) {
		u := using(float64(i)/100+.123, int64(i+100)<<20)
		u.Name = name
		v.SetUsage(host, u)
	})
	change("nothing", 0, func(string, string, int) {})
	change("figures that look the same", 0, func(host, name string, i int) {
		u := using(float64(i)/100+.1234, int64(i+100)<<20+1000)
		u.Name = name
		v.SetUsage(host, u)
	})
	change("the end of a host", 20, func(host, _ string, i int) {
		if i == 0 {
			h, _ := v.Host(host)
			h.Reachable, h.Why = false, "unreachable"
			v.Put(h)
		}
	})
}

// Where more changes with each look than an update holds, everybody's turn comes.
func TestNoDaemonIsForgotten(t *testing.T) {
	v := webtest.New(1, 1200)
	s := newSheet(v)
	s.refresh(noon())
	r := &reader{elements: map[int]map[string]string{}}
	r.catchUp(t, s)
	waiting := map[int]int{}
	for _, e := range s.daemons {
		waiting[e.id] = 0
	}
	for k := range 50 {
		for i, d := range v.Daemons() {
			u := using(float64(k)/100, int64(i+k+1)<<20)
			u.Name = d.Name
			v.SetUsage(d.Host, u)
		}
		s.refresh(noon().Add(time.Duration(k+1) * time.Second))
		u, next, _ := s.since(r.version, 0, noon())
		r.version = next
		for id := range waiting {
			waiting[id]++
		}
		for _, id := range r.ids(t, u) {
			waiting[id] = 0
		}
		for id, n := range waiting {
			if d := r.elements[id]; n > 40 && !strings.Contains(d["figures"], nothing) && !strings.Contains(d["figures"], unknown) {
				t.Fatalf("daemon %d of %d wasn't heard of in %d updates", id, len(waiting), n)
			}
		}
	}
}

// ids are those whose figures an update has.
func (r *reader) ids(t *testing.T, u *update) (all []int) {
	for i, v := range r.apply(t, u.text()).Figures {
		if i%4 == 0 {
			all = append(all, int(v.(float64)))
		}
	}
	return all
}

func TestOneDaemonsReader(t *testing.T) {
	v := webtest.New(2, 10)
	s := newSheet(v)
	s.refresh(noon())
	id, at := s.id("gpu-1", "worker-3"), s.current()
	if id == 0 || s.id("gpu-1", "nobody") != 0 {
		t.Fatal("ids are of daemons that there are, and of no others")
	}
	told := func() (kinds []string) {
		s.refresh(noon().Add(time.Hour))
		s.read = time.Time{}
		u, next, _ := s.since(at, id, noon())
		at = next
		if u == nil {
			return nil
		}
		for i, name := range listNames() {
			if len(u.lists[i]) > 0 {
				kinds = append(kinds, name)
			}
		}
		return kinds
	}
	for _, step := range []struct {
		what string
		do   func()
		want []string
	}{
		{"another daemon goes", func() { v.Forget("gpu-1", "worker-4") }, nil},
		{"it is paused", func() {
			d, _ := v.Daemon("gpu-1", "worker-3")
			d.Word, d.Phase = "Paused", "Stopped"
			v.See(d)
		}, []string{"states", "notes"}},
		{"its host is back", func() { v.Put(web.Host{Name: "gpu-1", Reachable: true, Drivers: []spec.DriverKind{"process"}}) }, []string{"hosts"}},
		{"it goes", func() { v.Forget("gpu-1", "worker-3") }, []string{"gone"}},
	} {
		step.do()
		if diff := cmp.Diff(step.want, told()); diff != "" {
			t.Errorf("%s:\n%s", step.what, diff)
		}
	}
}

// However much happens and however many ask, the view is read twenty times a second at most.
func TestTheViewIsReadInModeration(t *testing.T) {
	v := webtest.New(1, 1)
	s := newSheet(v)
	for i := range 10000 {
		d := running()
		d.Phase = fmt.Sprint("P", i)
		v.See(d)
		s.refresh(noon().Add(time.Duration(i) * time.Millisecond / 10))
	}
	if s.refreshes > 20 {
		t.Errorf("in a second it was read %d times", s.refreshes)
	}
}

func TestAReaderThatWasAwayForLong(t *testing.T) {
	v := webtest.New(1, 1)
	s := newSheet(v)
	s.refresh(noon())
	at := s.current()
	for i := range tombs + 10 {
		d, now := running(), noon().Add(time.Duration(i+1)*time.Second)
		d.Name = fmt.Sprint("brief-", i)
		v.See(d)
		s.refresh(now)
		v.Forget("localhost", d.Name)
		s.refresh(now.Add(leastAge))
	}
	if _, _, ok := s.since(at, 0, noon()); ok {
		t.Error("what it misses was forgotten, and nobody tells it")
	}
	if _, _, ok := s.since(s.current()+1, 0, noon()); ok {
		t.Error("it knows more than there is")
	}
	if n := len(s.buried); n != tombs {
		t.Errorf("%d that are gone are remembered", n)
	}
	if n := len(s.entries); n != 2 {
		t.Errorf("%d hosts and daemons are", n)
	}
}
