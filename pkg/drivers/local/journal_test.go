package local

import (
	"fmt"
	"os"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"reconciler.dev/reconciler/pkg/drivers/driverstest"
	"reconciler.dev/reconciler/pkg/spec"
)

// stamp is a generation of a daemon with one config file.
func stamp(name string, generation int64, digest string) spec.Stamp {
	s := spec.Stamp{Metadata: spec.Metadata{Name: name}, Generation: generation, Digest: fmt.Sprint("sha256:", generation)}
	s.Spec.Files = []spec.File{{Path: "/etc/x", Digest: digest}}
	return s
}

func archive(t *testing.T, h *Host, r spec.Revision) {
	t.Helper()
	if err := h.Archive(t.Context(), r); err != nil {
		t.Fatal(err)
	}
}

func history(t *testing.T, h *Host, name string) (generations []int64) {
	t.Helper()
	past, err := h.History(t.Context(), name)
	if err != nil {
		t.Fatal(err)
	}
	for _, r := range past {
		generations = append(generations, r.Generation)
	}
	return generations
}

func TestStatusesAreKeptByName(t *testing.T) {
	h := newHost(t)
	at := time.Now().UTC().Truncate(time.Second)
	want := map[string]spec.Status{}
	for _, name := range []string{"web", "api"} {
		s := spec.Status{Name: name, Instance: "i1", At: at, Conditions: []spec.Condition{{Type: spec.Ready, Status: spec.True, LastTransitionTime: at}}}
		for range 2 {
			if err := h.SetStatus(t.Context(), s); err != nil {
				t.Fatal(err)
			}
		}
		want[name] = s
	}
	got, err := h.Statuses(t.Context(), "web", "api", "unknown")
	if d := cmp.Diff(want, got); err != nil || d != "" {
		t.Errorf("%v\n%s", err, d)
	}
	if got, err = h.Statuses(t.Context()); err != nil || len(got) != 2 {
		t.Errorf("of all: %v, %v", got, err)
	}
	if got, err = h.Statuses(t.Context(), "web"); err != nil || len(got) != 1 {
		t.Errorf("of one: %v, %v", got, err)
	}
	if got, err = newHost(t).Statuses(t.Context()); err != nil || len(got) != 0 {
		t.Errorf("of none: %v, %v", got, err)
	}
}

func TestADamagedStatusIsNone(t *testing.T) {
	h := newHost(t)
	if err := h.SetStatus(t.Context(), spec.Status{Name: "web", Conditions: []spec.Condition{{Type: spec.Ready}}}); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(h.statusPath("web"), []byte("{half"), 0o600); err != nil {
		t.Fatal(err)
	}
	if got, err := h.Statuses(t.Context(), "web"); err != nil || len(got) != 0 {
		t.Errorf("got %v, %v", got, err)
	}
}

func TestHistoryKeepsTheLastGenerationsInOrder(t *testing.T) {
	h := newHost(t)
	if past := history(t, h, "web"); len(past) != 0 {
		t.Errorf("a daemon that never was has %v", past)
	}
	var want []int64
	for g := int64(1); g <= historyLimit+5; g++ {
		archive(t, h, spec.Revision{Stamp: stamp("web", g, "")})
		if g > 5 {
			want = append(want, g)
		}
	}
	archive(t, h, spec.Revision{Stamp: stamp("api", 1, "")})
	if d := cmp.Diff(want, history(t, h, "web")); d != "" {
		t.Error(d)
	}
}

// TestHistoryOfAnEarlierLifeIsForgotten: a daemon that is made again after a delete begins with generation 1.
func TestHistoryOfAnEarlierLifeIsForgotten(t *testing.T) {
	h := newHost(t)
	applied := func(generation int64, minute int) spec.Revision {
		st := stamp("web", generation, "")
		st.AppliedAt = time.Date(2026, 1, 1, 0, minute, 0, 0, time.UTC)
		return spec.Revision{Stamp: st}
	}
	for g := range int64(historyLimit + 5) {
		archive(t, h, applied(g+1, int(g)))
	}
	archive(t, h, applied(1, 30))
	archive(t, h, applied(3, 32)) // it failed
	archive(t, h, applied(2, 31)) // and this goes on
	if d := cmp.Diff([]int64{1, 2, 3}, history(t, h, "web")); d != "" {
		t.Error(d)
	}
}

// TestWhatIsGoneBackToIsKept however many changes fail beside it.
func TestWhatIsGoneBackToIsKept(t *testing.T) {
	h := newHost(t)
	for _, g := range []int64{1, 2} {
		archive(t, h, spec.Revision{Stamp: stamp("web", g, "")})
	}
	for g := int64(3); g < historyLimit+5; g++ {
		archive(t, h, spec.Revision{Stamp: stamp("web", g, ""), Failed: "HTTP 500"})
	}
	if got, want := history(t, h, "web"), []int64{2, 6, 7, 8, 9, 10, 11, 12, 13, 14}; !cmp.Equal(got, want) {
		t.Errorf("kept are %v, want %v", got, want)
	}
	archive(t, h, spec.Revision{Stamp: stamp("web", historyLimit+5, "")})
	if got, want := history(t, h, "web"), []int64{6, 7, 8, 9, 10, 11, 12, 13, 14, 15}; !cmp.Equal(got, want) {
		t.Errorf("kept are %v, want %v", got, want)
	}
}

func TestArchivingAGenerationAgainReplacesIt(t *testing.T) {
	h := newHost(t)
	archive(t, h, spec.Revision{Stamp: stamp("web", 1, "")})
	for range 2 {
		archive(t, h, spec.Revision{Stamp: stamp("web", 1, ""), Ready: true})
	}
	past, err := h.History(t.Context(), "web")
	if err != nil || len(past) != 1 || !past[0].Ready {
		t.Errorf("got %+v, %v", past, err)
	}
}

func TestConcurrentArchivesLoseNothing(t *testing.T) {
	h := newHost(t)
	var wg sync.WaitGroup
	for i := range 50 {
		wg.Go(func() {
			name := fmt.Sprint("web", i%10)
			if err := h.Archive(t.Context(), spec.Revision{Stamp: stamp(name, int64(i/10+1), "")}); err != nil {
				t.Error(err)
			}
		})
	}
	wg.Wait()
	for i := range 10 {
		if got := history(t, h, fmt.Sprint("web", i)); !cmp.Equal(got, []int64{1, 2, 3, 4, 5}) {
			t.Errorf("web%d has %v", i, got)
		}
	}
}

func TestADamagedRevisionIsNamed(t *testing.T) {
	h := newHost(t)
	archive(t, h, spec.Revision{Stamp: stamp("web", 1, driverstest.ContentDigest(nil))})
	path := h.revisionPath("web", 1)
	if err := os.WriteFile(path, []byte("{half"), 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := h.History(t.Context(), "web"); err == nil || !strings.Contains(err.Error(), path) {
		t.Errorf("got %v, want an error that names %s", err, path)
	}
}

// TestWhatWasReadyStaysSo unless it failed, or the name began a new life.
func TestWhatWasReadyStaysSo(t *testing.T) {
	h := newHost(t)
	good := spec.Revision{Stamp: stamp("web", 1, ""), Ready: true}
	unwell, failed, anew := spec.Revision{Stamp: good.Stamp}, spec.Revision{Stamp: good.Stamp, Failed: "not Ready"}, spec.Revision{Stamp: good.Stamp}
	anew.AppliedAt = time.Unix(1, 0).UTC()
	for _, c := range []struct {
		what string
		now  spec.Revision
		want bool
	}{{"seen Ready", good, true}, {"unwell", unwell, true}, {"failed", failed, false}, {"seen Ready again", good, true}, {"made anew", anew, false}} {
		archive(t, h, c.now)
		past, err := h.History(t.Context(), "web")
		if err != nil || len(past) != 1 || past[0].Ready != c.want {
			t.Errorf("%s: %+v, %v", c.what, past, err)
		}
	}
}
