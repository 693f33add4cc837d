package build

import (
	"context"
	"errors"
	"io"
	"sync"
	"testing"
	"testing/synctest"
	"time"
)

// bench is a builder whose builds take five seconds, and whose only source is the digest.
type bench struct {
	mu       sync.Mutex
	saved    string
	built    string
	fails    map[string]bool
	begun    []string
	finished []string
}

func (b *bench) save(digest string) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.saved = digest
}

func (b *bench) Look(context.Context, Job) (State, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	st := State{Digest: b.saved}
	if b.built != b.saved {
		st.Due = "rebuild"
	}
	return st, nil
}

var errBroken = errors.New("it doesn't compile")

func (b *bench) Build(ctx context.Context, _ Job, _ bool, _ io.Writer) (State, error) {
	b.mu.Lock()
	digest := b.saved
	b.begun = append(b.begun, digest)
	b.mu.Unlock()
	select {
	case <-time.After(5 * time.Second):
	case <-ctx.Done():
		return State{}, context.Cause(ctx)
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	b.finished = append(b.finished, digest)
	if b.fails[digest] {
		return State{}, errBroken
	}
	b.built = digest
	return State{Digest: digest, Built: true}, nil
}

// visit is one call of Get and what came of it.
type visit struct {
	done  chan struct{}
	state State
	err   error
}

func (s *Shop) visit(ctx context.Context) *visit {
	v := &visit{done: make(chan struct{})}
	go func() {
		defer close(v.done)
		v.state, v.err = s.Get(ctx, Job{Name: "worker", Dir: "/src", Output: "worker"}, io.Discard)
	}()
	synctest.Wait()
	return v
}

func TestShopBuildsOnceForAll(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := &bench{saved: "1"}
		s := newShop(b)
		impatient, leave := context.WithCancel(t.Context())
		first, second := s.visit(impatient), s.visit(t.Context())
		leave()
		<-first.done
		if !errors.Is(first.err, context.Canceled) {
			t.Errorf("who left got %v", first.err)
		}
		<-second.done
		if second.err != nil || second.state.Digest != "1" || len(b.begun) != 1 {
			t.Errorf("who stayed got %+v, %v; begun %v", second.state, second.err, b.begun)
		}
		third := s.visit(t.Context())
		<-third.done
		if third.err != nil || len(b.begun) != 1 {
			t.Errorf("what is built already: %v; begun %v", third.err, b.begun)
		}
	})
}

func TestShopGivesUpWhatIsOld(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := &bench{saved: "1"}
		s := newShop(b)
		first := s.visit(t.Context())
		time.Sleep(4 * time.Second)
		b.save("2")
		began := time.Now()
		second := s.visit(t.Context())
		<-first.done
		<-second.done
		for _, v := range []*visit{first, second} {
			if v.err != nil || v.state.Digest != "2" {
				t.Errorf("got %+v, %v; want what was saved last", v.state, v.err)
			}
		}
		if took := time.Since(began); took != 5*time.Second || len(b.finished) != 1 {
			t.Errorf("it took %v, and %v were finished", took, b.finished)
		}
	})
}

// TestShopGivesUpWhatWasTakenBack: what was saved is again what was built.
func TestShopGivesUpWhatWasTakenBack(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := &bench{saved: "2", built: "1"}
		s := newShop(b)
		first := s.visit(t.Context())
		b.save("1")
		second := s.visit(t.Context())
		<-first.done
		<-second.done
		if first.err != nil || second.err != nil || len(b.finished) != 0 {
			t.Errorf("%v, %v; finished %v", first.err, second.err, b.finished)
		}
	})
}

func TestShopTriesAgainEverMoreSeldom(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := &bench{saved: "1", fails: map[string]bool{"1": true}}
		s := newShop(b)
		get := func() error { v := s.visit(t.Context()); <-v.done; return v.err }
		for range 20 * 60 / 5 {
			if err := get(); !errors.Is(err, errBroken) {
				t.Fatalf("a build that fails: %v", err)
			}
			time.Sleep(5 * time.Second)
		}
		if n := len(b.begun); n < 6 || n > 9 {
			t.Errorf("in 20 minutes it was tried %d times", n)
		}
		b.save("2")
		if err := get(); err != nil {
			t.Errorf("once it is mended: %v", err)
		}
	})
}

func TestShopClose(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := &bench{saved: "1"}
		s := newShop(b)
		v := s.visit(t.Context())
		s.Close()
		<-v.done
		if !errors.Is(v.err, errClosed) {
			t.Errorf("got %v", v.err)
		}
		v = s.visit(t.Context())
		<-v.done
		if !errors.Is(v.err, errClosed) || len(b.finished) != 0 {
			t.Errorf("after Close: %v; finished %v", v.err, b.finished)
		}
	})
}
