package remote

import (
	"context"
	"fmt"
	"net"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"

	"reconciler.dev/reconciler/pkg/drivers"
	"reconciler.dev/reconciler/pkg/drivers/driverstest"
	"reconciler.dev/reconciler/pkg/spec"
)

// meter counts what is heard from an agent.
type meter struct {
	net.Conn
	heard atomic.Int64
}

func (m *meter) Read(b []byte) (int, error) {
	n, err := m.Conn.Read(b)
	m.heard.Add(int64(n))
	return n, err
}

// watched is a driver of a machine in memory that has daemons, its twin, and a meter between.
type watched struct {
	near  *driverstest.Fake
	far   drivers.Driver
	meter *meter
	names []string
}

func watch20(t *testing.T) *watched {
	t.Helper()
	ours, theirs := net.Pipe()
	w := &watched{near: driverstest.NewFake(), meter: &meter{Conn: ours}}
	ended := make(chan error, 1)
	go func() {
		ended <- Serve(context.Background(), theirs, theirs, Local{Host: driverstest.NewHost(w.near)})
		theirs.Close()
	}()
	h, err := Connect(t.Context(), w.meter, ConnectOptions{Name: "far", Ping: time.Hour})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		h.Close()
		if err := <-ended; err != nil {
			t.Error(err)
		}
	})
	w.far = h.Drivers()[0]
	for i := range 20 {
		want := driverstest.Want(w.far.Kind(), fmt.Sprintf("d%02d", i), "/bin/sleep", "1000")
		w.names = append(w.names, want.Name)
		for _, verb := range []spec.Verb{spec.VerbStamp, spec.VerbStart} {
			if err := w.far.Apply(t.Context(), spec.Step{Verb: verb, Name: want.Name, Want: want, Driver: w.far.Kind()}); err != nil {
				t.Fatal(err)
			}
		}
	}
	return w
}

// look looks at all, and returns what was heard for it. What the twin says has to be what the machine says.
func (w *watched) look(t *testing.T) int64 {
	t.Helper()
	before := w.meter.heard.Load()
	got, err := w.far.Observe(t.Context(), w.names...)
	if err != nil {
		t.Fatal(err)
	}
	want, err := w.near.Observe(t.Context(), w.names...)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("(-near +far):\n%s", diff)
	}
	return w.meter.heard.Load() - before
}

// TestLooksSayWhatChanged: of twenty daemons an hour later nothing is told, though all are an hour older, and of one that ended that one is.
func TestLooksSayWhatChanged(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := watch20(t)
		all := w.look(t)
		time.Sleep(time.Hour)
		if same := w.look(t); same > 100 {
			t.Errorf("%d bytes for nothing, and %d for all", same, all)
		}
		w.near.Crash("d07", spec.Exit{Known: true, Signal: "SIGKILL"})
		if one := w.look(t); one > all/10 {
			t.Errorf("%d bytes for one that ended, and %d for all", one, all)
		}
		time.Sleep(time.Hour)
		if same := w.look(t); same > 100 {
			t.Errorf("%d bytes for nothing after an end", same)
		}
		w.names = append(w.names, "nobody")
		w.look(t)
		if same := w.look(t); same > 100 {
			t.Errorf("%d bytes for one that isn't there still", same)
		}
	})
}

// TestLooksSideBySide: answers that come in another order than they were asked for spoil nothing.
func TestLooksSideBySide(t *testing.T) {
	w := watch20(t)
	var wg sync.WaitGroup
	for i := range 8 {
		wg.Go(func() {
			for n := range 50 {
				if i == 0 && n < len(w.names) {
					w.near.Crash(w.names[n], spec.Exit{Known: true, Code: n})
				}
				if _, err := w.far.Observe(t.Context(), w.names[i:]...); err != nil {
					t.Error(err)
				}
			}
		})
	}
	wg.Wait()
	synced := func(os []spec.Observed, err error) (states []spec.State) {
		if err != nil {
			t.Fatal(err)
		}
		for _, o := range os {
			states = append(states, o.State)
		}
		return states
	}
	if diff := cmp.Diff(synced(w.near.Observe(t.Context(), w.names...)), synced(w.far.Observe(t.Context(), w.names...))); diff != "" {
		t.Error(diff)
	}
}

// TestMemoryIsBounded: whatever is asked for, what is remembered of it has an end.
func TestMemoryIsBounded(t *testing.T) {
	var m memory
	for i := range 3 * maxKnown {
		m.learn(fmt.Sprint(i), &known{})
		m.learn("again", &known{})
	}
	if len(m.all) > maxKnown {
		t.Errorf("%d are remembered", len(m.all))
	}
}

// TestTwoCopiesAtRestAreNoNews: of both only the age changes.
func TestTwoCopiesAtRestAreNoNews(t *testing.T) {
	look := func(up time.Duration) observed {
		return packObserved(spec.Observed{Name: "web", State: spec.Running, Instance: &spec.Instance{ID: "b", Up: up}, Outgoing: &spec.Instance{ID: "a", Up: time.Hour + up}})
	}
	first, err := look(0).tag(0)
	later, err2 := look(time.Minute).tag(time.Minute)
	if err != nil || err2 != nil || first != later {
		t.Errorf("a minute later it is told again: %s, %s; %v, %v", first, later, err, err2)
	}
	k := &known{"", 0, look(0)}
	if o := k.as(time.Minute); o.Instance.Up != time.Minute || o.Outgoing.Up != time.Hour+time.Minute || k.w.Outgoing.Up != time.Hour {
		t.Errorf("a minute later they are up for %v and %v", o.Instance.Up, o.Outgoing.Up)
	}
}
