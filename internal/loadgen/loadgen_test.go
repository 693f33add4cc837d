package loadgen

import (
	"context"
	"fmt"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync/atomic"
	"testing"
	"time"
)

// load asks for two seconds, and lets do act in the middle of them. A machine that is busy may begin fewer requests than it should, but no more.
func load(t *testing.T, address string, do func()) Result {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 2*time.Second)
	defer cancel()
	acted := make(chan struct{})
	go func() {
		defer close(acted)
		<-time.After(400 * time.Millisecond)
		do()
	}()
	r := Run(ctx, Options{Address: address, Path: "/x", Rate: 500, Timeout: 5 * time.Second})
	<-acted
	t.Log(r)
	if sum := r.Answered + r.Refused + r.Cut + r.Late + r.Other; sum != r.Sent || r.Sent < 300 || float64(r.Sent) > 500*r.Took.Seconds()+1 {
		t.Errorf("%d were sent, and %d are accounted for", r.Sent, sum)
	}
	return r
}

func TestAllAnswered(t *testing.T) {
	t.Parallel()
	var conns, kept atomic.Int64
	s := httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path != "/x" {
			t.Errorf("asked for %s", r.URL)
		}
		if !r.Close {
			kept.Add(1)
		}
		fmt.Fprint(w, "well")
	}))
	s.Config.ConnState = func(_ net.Conn, s http.ConnState) {
		if s == http.StateNew {
			conns.Add(1)
		}
	}
	s.Start()
	defer s.Close()
	r := load(t, s.Listener.Addr().String(), func() {})
	if r.Answered != r.Sent || r.Why != nil || r.Median == 0 || r.Longest < r.P99 || r.P99 < r.Median {
		t.Errorf("not all were answered: %+v", r)
	}
	if half := int64(r.Sent / 2); kept.Load() < half-1 || kept.Load() > half+1 {
		t.Errorf("%d of %d over connections that are kept", kept.Load(), r.Sent)
	}
	if fresh := int64(r.Sent) - kept.Load(); conns.Load() < fresh {
		t.Errorf("%d connections for %d fresh requests", conns.Load(), fresh)
	}
}

func TestWhatGoesWrong(t *testing.T) {
	answer := func(status int) http.Handler {
		return http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(status) })
	}
	t.Run("refused", func(t *testing.T) {
		t.Parallel()
		s := httptest.NewServer(answer(200))
		if r := load(t, s.Listener.Addr().String(), s.Close); r.Refused < 50 || r.Answered < 50 || r.Again == 0 {
			t.Errorf("%+v", r)
		}
	})
	t.Run("another status", func(t *testing.T) {
		t.Parallel()
		s := httptest.NewServer(answer(503))
		defer s.Close()
		if r := load(t, s.Listener.Addr().String(), func() {}); r.Other != r.Sent || !strings.Contains(r.String(), "503") {
			t.Errorf("%+v", r)
		}
	})
	t.Run("cut", func(t *testing.T) {
		t.Parallel()
		s := httptest.NewServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) { panic(http.ErrAbortHandler) }))
		defer s.Close()
		if r := load(t, s.Listener.Addr().String(), func() {}); r.Cut != r.Sent {
			t.Errorf("%+v", r)
		}
	})
	t.Run("late", func(t *testing.T) {
		t.Parallel()
		l, err := net.Listen("tcp", "127.0.0.1:0")
		if err != nil {
			t.Fatal(err)
		}
		defer l.Close()
		if r := load(t, l.Addr().String(), func() {}); r.Late != r.Sent {
			t.Errorf("%+v", r)
		}
	})
}
