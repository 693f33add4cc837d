package page

import (
	"bufio"
	"bytes"
	"context"
	"fmt"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"reconciler.dev/reconciler/internal/web"
	"reconciler.dev/reconciler/internal/web/webtest"
)

// listener is a browser that reads updates.
type listener struct {
	mu     sync.Mutex
	header http.Header
	code   int
	events []heard
	broken bool
}

type heard struct {
	at              time.Time
	event, id, data string
	bytes           int
}

func (l *listener) Header() http.Header  { return l.header }
func (l *listener) WriteHeader(code int) { l.code = code }
func (l *listener) Flush()               {}

func (l *listener) Write(b []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.broken {
		return 0, http.ErrHandlerTimeout
	}
	h := heard{at: time.Now(), bytes: len(b)}
	for line := range strings.Lines(string(b)) {
		name, value, _ := strings.Cut(strings.TrimSuffix(line, "\n"), ": ")
		switch name {
		case "event":
			h.event = value
		case "id":
			h.id = value
		case "data":
			h.data = value
		}
	}
	l.events = append(l.events, h)
	return len(b), nil
}

func (l *listener) take() []heard {
	l.mu.Lock()
	defer l.mu.Unlock()
	all := l.events
	l.events = nil
	return all
}

// versionOf is the version that a page is at.
func versionOf(t *testing.T, h http.Handler, path string) string {
	t.Helper()
	w := httptest.NewRecorder()
	h.ServeHTTP(w, httptest.NewRequest("GET", path, nil))
	_, rest, _ := strings.Cut(w.Body.String(), `data-version="`)
	version, _, found := strings.Cut(rest, `"`)
	if !found {
		t.Fatalf("%s has no version: %d\n%s", path, w.Code, w.Body)
	}
	return version
}

// listen follows updates until the test ends it.
func listen(t *testing.T, h http.Handler, query, lastID string) (l *listener, end func()) {
	t.Helper()
	ctx, cancel := context.WithCancel(t.Context())
	l = &listener{header: http.Header{}}
	r := httptest.NewRequestWithContext(ctx, "GET", "/updates?"+query, nil)
	if lastID != "" {
		r.Header.Set("Last-Event-ID", lastID)
	}
	done := make(chan struct{})
	go func() {
		defer close(done)
		h.ServeHTTP(l, r)
	}()
	return l, func() {
		cancel()
		<-done
	}
}

func pause(v *webtest.View, name, by string) {
	d, _ := v.Daemon("localhost", name)
	d.Phase, d.Word = by, "Paused"
	v.See(d)
}

func TestUpdates(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		v := webtest.New(1, 500)
		h := Handler(v)
		page := versionOf(t, h, "/")
		l, end := listen(t, h, "since="+page, "")
		time.Sleep(2500 * time.Millisecond)
		if got := l.take(); len(got) != 1 || got[0].event != eventAlive {
			t.Fatalf("nothing has changed: %+v", got)
		}
		began := time.Now()
		pause(v, "worker-1", "Resting")
		synctest.Wait()
		got := l.take()
		if len(got) != 1 || got[0].at.Sub(began) != 0 || !strings.Contains(got[0].data, "Resting") || got[0].bytes > 1000 {
			t.Fatalf("after a quiet time a change is told at once: %+v", got)
		}
		// A thousand changes a second, for five seconds.
		for i := range 5000 {
			pause(v, fmt.Sprintf("worker-%d", i%500), fmt.Sprint("Busy-", i))
			time.Sleep(time.Millisecond)
		}
		got = l.take()
		if len(got) > 5*4+1 {
			t.Errorf("%d updates in five seconds", len(got))
		}
		for _, e := range got {
			if e.bytes > 10000 {
				t.Errorf("an update has %d bytes", e.bytes)
			}
		}
		time.Sleep(5 * time.Second)
		if got = l.take(); !strings.Contains(joined(got), "Busy-4999") {
			t.Error("the last change wasn't told")
		}
		time.Sleep(time.Minute)
		if n := len(l.take()); n < 11 || n > 13 {
			t.Errorf("%d signs of life in a minute", n)
		}
		if asked := v.Asked(); len(asked) < 12 || len(asked) > 20 || asked[0] != figuresAge {
			t.Errorf("figures were asked for %d times in 72 seconds", len(asked))
		}
		end() // which waits for it
		n := len(v.Asked())
		time.Sleep(time.Minute)
		if len(v.Asked()) != n {
			t.Error("nobody looks, and figures are asked for")
		}
	})
}

func joined(all []heard) string {
	var b strings.Builder
	for _, e := range all {
		b.WriteString(e.data + "\n")
	}
	return b.String()
}

func TestAReaderGoesOn(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		v := webtest.New(1, 3)
		h := Handler(v)
		page := versionOf(t, h, "/")
		l, end := listen(t, h, "since="+page, "")
		pause(v, "worker-1", "First")
		time.Sleep(3 * time.Second)
		got := l.take()
		end()
		last := got[len(got)-1].id
		time.Sleep(time.Second)
		pause(v, "worker-2", "Second")
		l, end = listen(t, h, "since="+page, last)
		synctest.Wait()
		if got = l.take(); len(got) != 1 || strings.Contains(got[0].data, "First") || !strings.Contains(got[0].data, "Second") {
			t.Errorf("it is told what it missed, and nothing else: %+v", got)
		}
		end()
	})
}

func TestAPageOfAnotherRunIsLoadedAnew(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := Handler(webtest.New(1, 1))
		page := versionOf(t, h, "/")
		for _, since := range []string{"", "x", "abcdefgh.1", page + "99", page + "x", "." + page} {
			l, end := listen(t, h, "since="+since, "")
			synctest.Wait()
			if got := l.take(); len(got) != 1 || got[0].event != eventReload || got[0].id != "" {
				t.Errorf("since %q: %+v", since, got)
			}
			end()
		}
	})
}

func TestReadersAreBounded(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := Handler(webtest.New(1, 1))
		page := versionOf(t, h, "/")
		var ends []func()
		for range maxReaders {
			_, end := listen(t, h, "since="+page, "")
			ends = append(ends, end)
		}
		synctest.Wait()
		l, end := listen(t, h, "since="+page, "")
		synctest.Wait()
		if l.code != http.StatusServiceUnavailable || l.header.Get("Retry-After") == "" {
			t.Errorf("one too many is answered %d", l.code)
		}
		end()
		ends[0]()
		l, end = listen(t, h, "since="+page, "")
		synctest.Wait()
		if l.code != 0 || len(l.take()) != 1 {
			t.Errorf("where one left there is room: %d", l.code)
		}
		for _, end := range append(ends[1:], end) {
			end()
		}
	})
}

func TestAReaderThatIsGoneEndsItsStream(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := Handler(webtest.New(1, 1))
		l := &listener{header: http.Header{}, broken: true}
		h.ServeHTTP(l, httptest.NewRequest("GET", "/updates?since="+versionOf(t, h, "/"), nil)) // and it returns
	})
}

// slow is a view whose hosts answer nothing that they have to be asked for.
type slow struct{ web.View }

func (s slow) Measure(ctx context.Context, _ time.Duration) { <-ctx.Done() }

func TestFiguresThatDontComeHoldUpNothing(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		v := webtest.New(1, 3)
		h := Handler(slow{v})
		l, end := listen(t, h, "since="+versionOf(t, h, "/"), "")
		synctest.Wait()
		time.Sleep(1500 * time.Millisecond)
		l.take()
		pause(v, "worker-1", "Resting")
		synctest.Wait()
		if got := joined(l.take()); !strings.Contains(got, "Resting") {
			t.Errorf("told: %s", got)
		}
		end()
	})
}

// A server's timeouts are for answers that end.
func TestUpdatesOverHTTP(t *testing.T) {
	v := webtest.New(1, 3)
	h := Handler(v)
	s := httptest.NewUnstartedServer(h)
	s.Config.ReadTimeout, s.Config.WriteTimeout = 2*time.Second, 2*time.Second
	s.Start()
	defer s.Close()
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, "GET", s.URL+"/updates?since="+versionOf(t, h, "/"), nil)
	if err != nil {
		t.Fatal(err)
	}
	res, err := s.Client().Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = res.Body.Close() }()
	if got := res.Header.Get("Content-Type"); got != "text/event-stream" {
		t.Errorf("Content-Type: %s", got)
	}
	lines := bufio.NewScanner(res.Body)
	for _, by := range []string{"Resting", "Sleeping", "Dreaming", "Turning", "Waking"} { // a second apart, by the pace of updates
		pause(v, "worker-2", by)
		for found := false; !found; found = bytes.Contains(lines.Bytes(), []byte(by)) {
			if !lines.Scan() {
				t.Fatalf("the stream ended before %s: %v", by, lines.Err())
			}
		}
	}
}
