package local

import (
	"errors"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"reconciler.dev/reconciler/internal/layout"
	"reconciler.dev/reconciler/pkg/drivers"
	"reconciler.dev/reconciler/pkg/drivers/driverstest"
	"reconciler.dev/reconciler/pkg/spec"
)

func newHost(t *testing.T) *Host {
	t.Helper()
	return New(layout.Under(t.TempDir()), driverstest.NewFake())
}

// hostWith returns a host on whose driver the daemon web runs.
func hostWith(t *testing.T, d drivers.Driver, s spec.Spec) *Host {
	t.Helper()
	h := New(layout.Under(t.TempDir()), d)
	startWeb(t, d, s, "")
	return h
}

// startWeb starts web where instance is what there is of it.
func startWeb(t *testing.T, d drivers.Driver, s spec.Spec, instance string) {
	t.Helper()
	if s.Binary == "" {
		s.Binary = "/bin/web"
	}
	want := &spec.Daemon{Metadata: spec.Metadata{Name: "web"}, Spec: s, Digest: "sha256:0"}
	step := spec.Step{Verb: spec.VerbStart, Name: "web", Want: want, Owner: spec.Owner{Set: "default"}, Generation: 1, Instance: instance}
	if err := d.Apply(t.Context(), step); err != nil {
		t.Fatal(err)
	}
}

func TestDriver(t *testing.T) {
	h := newHost(t)
	d, err := h.Driver(spec.DriverAuto)
	if err != nil {
		t.Fatal(err)
	}
	if again, err := h.Driver(d.Kind()); err != nil || again != d {
		t.Errorf("got %v, %v", again, err)
	}
	for kind, why := range map[spec.DriverKind]string{
		spec.DriverLaunchd: "it needs darwin", spec.DriverJob: "it needs windows", spec.DriverSystemd: "without it", "docker": "there is no such driver",
	} {
		_, err := h.Driver(kind)
		if !errors.Is(err, drivers.ErrUnsupported) || !strings.Contains(err.Error(), string(d.Kind())) || !strings.Contains(err.Error(), why) {
			t.Errorf("got %v, want an error that says %q and lists what there is", err, why)
		}
	}
	if _, err := New(h.dirs).Driver(spec.DriverAuto); !errors.Is(err, drivers.ErrUnsupported) {
		t.Errorf("a host without a driver: %v", err)
	}
}

func TestProbe(t *testing.T) {
	srv := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		switch r.URL.Path {
		case "/well":
		case "/moved":
			http.Redirect(w, r, "/sick", http.StatusFound)
		case "/stream":
			_ = http.NewResponseController(w).Flush()
			<-r.Context().Done()
		case "/slow":
			<-r.Context().Done()
		default:
			w.WriteHeader(http.StatusServiceUnavailable)
			_, _ = w.Write([]byte("\x1b[31mno database\n"))
		}
	}))
	defer srv.Close()
	secure := httptest.NewTLSServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) {}))
	defer secure.Close()
	addr := srv.Listener.Addr().String()
	timeout := spec.Duration(5 * time.Second)
	for _, c := range []struct {
		name  string
		check spec.Health
		want  string // in the error; empty: it passes
	}{
		{"well", spec.Health{URL: srv.URL + "/well"}, ""},
		{"a redirect is an answer", spec.Health{URL: srv.URL + "/moved"}, ""},
		{"sick", spec.Health{URL: srv.URL + "/sick"}, `HTTP 503, want 200 to 399: \x1b[31mno database`},
		{"sick as expected", spec.Health{URL: srv.URL + "/sick", ExpectStatus: 503}, ""},
		{"well but not as expected", spec.Health{URL: srv.URL + "/well", ExpectStatus: 204}, "HTTP 200, want 204"},
		{"slow", spec.Health{URL: srv.URL + "/slow", Timeout: spec.Duration(50 * time.Millisecond)}, "no answer within 50ms"},
		{"nobody listens", spec.Health{URL: "http://127.0.0.1:1/"}, "GET http://127.0.0.1:1/: connection refused"},
		{"tcp", spec.Health{TCP: addr}, ""},
		{"tcp, nobody listens", spec.Health{TCP: "127.0.0.1:1"}, "connect to 127.0.0.1:1: connection refused"},
		{"well behind a certificate of its own", spec.Health{URL: secure.URL}, ""},
		{"a password in the URL isn't told", spec.Health{URL: "http://me:s3cret@127.0.0.1:1/"}, "GET http://me:xxxxx@127.0.0.1:1/: connection refused"},
		{"a body that never ends isn't waited for", spec.Health{URL: srv.URL + "/stream", Timeout: spec.Duration(5 * time.Second)}, ""},
		{"exec", spec.Health{Exec: []string{"true"}}, ""},
		{"exec fails", spec.Health{Exec: []string{"/bin/sh", "-c", "echo out of space; exit 3"}}, "out of space"},
		{"exec of nothing", spec.Health{Exec: []string{"no-such-command"}}, `no command "no-such-command"`},
		{"exec takes too long", spec.Health{Exec: []string{"sleep", "100"}, Timeout: spec.Duration(50 * time.Millisecond)}, "no answer within 50ms"},
	} {
		t.Run(c.name, func(t *testing.T) {
			if c.check.Timeout == 0 {
				c.check.Timeout = timeout
			}
			err := hostWith(t, driverstest.NewFake(), spec.Spec{}).Probe(t.Context(), "web", c.check)
			switch {
			case err == nil && c.want != "":
				t.Errorf("it passed, want %q", c.want)
			case err != nil && (c.want == "" || !strings.Contains(err.Error(), c.want)):
				t.Errorf("got %q, want %q", err, c.want)
			}
		})
	}
}
