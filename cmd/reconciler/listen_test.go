package main

import (
	"bytes"
	"context"
	"errors"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"

	"reconciler.dev/reconciler/internal/web"
	"reconciler.dev/reconciler/pkg/drivers"
	"reconciler.dev/reconciler/pkg/spec"
)

// look gets a page of a run until it says what is wanted, and returns what it says then.
func (s *screen) look(t *testing.T, path string, want ...string) string {
	t.Helper()
	s.shows(t, "listening: http://", 1)
	at := regexp.MustCompile(`listening: (http://\S+)/`).FindStringSubmatch(s.String())[1]
	var said string
	for end := time.Now().Add(20 * time.Second); time.Now().Before(end); time.Sleep(5 * time.Millisecond) {
		resp, err := http.Get(at + path)
		if err != nil {
			t.Fatal(err)
		}
		b, err := io.ReadAll(resp.Body)
		if _ = resp.Body.Close(); err != nil {
			t.Fatal(err)
		}
		said = resp.Status + "\n" + string(b)
		met := true
		for _, w := range want {
			met = met && strings.Contains(said, w)
		}
		if met {
			return said
		}
	}
	t.Fatalf("%s never says %q:\n%s", path, want, said)
	return ""
}

// TestRunShowsWhatItFinds over HTTP: daemons, their ends, and what becomes of the manifests.
func TestRunShowsWhatItFinds(t *testing.T) {
	d := newDesk(t)
	d.edit("db.yaml", "spec:", "spec:\n  metrics: {url: \"http://localhost:9121\"}")
	out, _, interrupt := d.start("run", "-f", ".", "--listen", "127.0.0.1:0")
	of := func(metric, daemon, more, value string) string {
		return "\nreconciler_" + metric + `{host="localhost",daemon="` + daemon + `"` + more + "} " + value + "\n"
	}
	out.look(t, "/metrics", of("daemon_state", "web", `,state="running"`, "1"), of("daemon_ready", "db", "", "1"), of("daemon_restarts_total", "db", "", "0"))
	out.look(t, "/readyz", "200 OK")
	out.look(t, "/healthz", "200 OK")
	foreign(t, out)
	out.look(t, "/", `<a href="/daemons/localhost/web">web</a>`, `<b>2</b> Well`)
	out.look(t, "/daemons/localhost/db", "<h1>db</h1>", "<td>Healthy</td>", "Started</td>", "None: it is as wanted.")
	out.look(t, "/assets/style.css", "200 OK")
	out.look(t, "/sd", `"targets":["localhost:9121"]`, `"daemon":"db"`)

	d.host.Fake().Crash("db", spec.Exit{Known: true, Signal: "SIGKILL"})
	said := out.look(t, "/metrics", of("daemon_restarts_total", "db", "", "1"), of("daemon_last_exit_signal", "db", `,signal="SIGKILL"`, "1"), of("daemon_state", "db", `,state="running"`, "1"))
	if !strings.Contains(said, `reconciler_step_duration_seconds_count{verb="Start",outcome="done"} 3`) {
		t.Errorf("three starts aren't counted:\n%s", said)
	}
	if err := os.Remove("web.yaml"); err != nil {
		t.Fatal(err)
	}
	for end := time.Now().Add(20 * time.Second); strings.Contains(out.look(t, "/metrics"), `daemon="web"`); time.Sleep(5 * time.Millisecond) {
		if time.Now().After(end) {
			t.Fatal("what is no longer in the manifests is still shown")
		}
	}
	if code := interrupt(); code != exitOK {
		t.Errorf("exit %d", code)
	}
}

// foreign asks by a name that isn't this machine's, as a page in a browser may, and is told the address that it is refused at.
func foreign(t *testing.T, out *screen) {
	t.Helper()
	at := regexp.MustCompile(`listening: http://(\S+)/`).FindStringSubmatch(out.String())[1]
	r, err := http.NewRequestWithContext(t.Context(), http.MethodGet, "http://"+at+"/", nil)
	if err != nil {
		t.Fatal(err)
	}
	r.Host = "evil.example.com"
	resp, err := http.DefaultClient.Do(r)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	if b, err := io.ReadAll(resp.Body); err != nil || resp.StatusCode != http.StatusMisdirectedRequest || !strings.Contains(string(b), "this is "+at+";") {
		t.Errorf("a request for another name: %s %q, %v", resp.Status, b, err)
	}
}

// TestRunShowsALostHost: its daemons are unknown, and neither as they were nor gone.
func TestRunShowsALostHost(t *testing.T) {
	d := newFleetDesk(t)
	d.daemon("late", "host: gpu-9")
	out, _, _ := d.start("run", "-f", ".", "--listen", "127.0.0.1:0")
	out.look(t, "/metrics", `daemon_state{host="gpu-2",daemon="web",state="running"} 1`, `host_reachable{host="gpu-2"} 1`, `host_reachable{host="gpu-9"} 0`)
	if said := out.look(t, "/readyz", "503"); !strings.Contains(said, "gpu-9: unreachable: ") {
		t.Errorf("it isn't said which host is missing:\n%s", said)
	}
	d.cut("gpu-2")
	said := out.look(t, "/metrics", `daemon_state{host="gpu-2",daemon="web",state="unknown"} 1`, `host_reachable{host="gpu-2"} 0`, `host_links_lost_total{host="gpu-2"} 1`)
	if strings.Contains(said, `daemon_ready{host="gpu-2"`) {
		t.Error("it is told whether a daemon is Ready that nobody can look at")
	}
	d.mend("gpu-2")
	out.look(t, "/metrics", `daemon_state{host="gpu-2",daemon="web",state="running"} 1`, `host_reachable{host="gpu-2"} 1`, `host_links_lost_total{host="gpu-2"} 1`)
	d.remove("late.yaml")
	if said := out.look(t, "/readyz", "200 OK"); strings.Contains(said, "gpu-9") {
		t.Errorf("a host that isn't named any more is missed:\n%s", said)
	}
}

// TestRunCantListen: then nothing is done.
func TestRunCantListen(t *testing.T) {
	d := newDesk(t)
	path := filepath.Join(t.TempDir(), "s")
	l, err := web.Listen(t.Context(), web.Address{Network: "unix", Path: path})
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	code, stdout, stderr := d.run("run", "-f", ".", "--listen", "unix:"+path)
	if code != exitError || !strings.Contains(stderr, "another program") || stdout != "" || d.host.Fake().Alive("db") != 0 {
		t.Errorf("exit %d, %s%s", code, stdout, stderr)
	}
}

// TestShownAnswers what a person asks about one daemon, with no secret in it, and bounded.
func TestShownAnswers(t *testing.T) {
	d := newDesk(t)
	d.must(exitOK, "apply", "-f", ".")
	d.edit("db.yaml", "600", "700")
	c := d.cli(io.Discard, io.Discard)
	s, err := d.connect(t.Context(), c, nil, "", c.options("default", false))
	if err != nil {
		t.Fatal(err)
	}
	defer s.close()
	wants, err := c.resolveAll(t.Context(), mustDeclare(t, c), nil)
	if err != nil {
		t.Fatal(err)
	}
	v := &overview{links: map[string]*shownLink{}, passed: map[string]bool{}}
	p := new(part)
	p.wants.Store(&wants[0])
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	audience, stop := v.reach(ctx, "", s, p)
	views, err := s.Look(ctx)
	if err != nil {
		t.Fatal(err)
	}
	for _, one := range views {
		audience.Seen(one)
	}
	if text, err := v.Diff(ctx, "localhost", "db"); err != nil || !strings.Contains(text, "-600") || !strings.Contains(text, "+700") {
		t.Errorf("the diff is %q, %v", text, err)
	}
	if text, err := v.Diff(ctx, "localhost", "web"); err != nil || text != "" {
		t.Errorf("the diff of what is as it shall be is %q, %v", text, err)
	}
	if events, err := v.Events(ctx, "localhost", "db", 1); err != nil || len(events) != 1 || events[0].Name != "db" {
		t.Errorf("the events are %v, %v", events, err)
	}
	if web, _ := v.Daemon("localhost", "web"); web.Stamp == nil || web.Stamp.Spec.Env["TOKEN"].Digest != "" {
		t.Errorf("the digest of a secret is shown: %+v", web.Stamp)
	}
	if _, err := v.Diff(ctx, "localhost", "none"); !errors.Is(err, drivers.ErrNotFound) {
		t.Errorf("the diff of a daemon that isn't there: %v", err)
	}
	stop()
	if err := v.Logs(ctx, "localhost", "db", 10, io.Discard); !errors.Is(err, drivers.ErrUnreachable) {
		t.Errorf("the log of a daemon on a host that is lost: %v", err)
	}
}

func mustDeclare(t *testing.T, c *cli) declaration {
	t.Helper()
	d, err := c.declared(inputs{Files: []string{"."}}, hostFlags{}, false)
	if err != nil {
		t.Fatal(err)
	}
	return d
}

func TestLastBytes(t *testing.T) {
	l := &lastBytes{most: 4}
	for _, s := range []string{"a", "bcdefghijklmnop", "qr", "", "s"} {
		_, _ = l.Write([]byte(s))
	}
	if got := l.bytes(); !bytes.Equal(got, []byte("pqrs")) || cap(l.buf) > 64 {
		t.Errorf("%q is left, in %d bytes", got, cap(l.buf))
	}
}

// hungEngine is an engine of which a look hangs.
type hungEngine struct {
	engine
	late time.Duration
}

func (h hungEngine) Behind() time.Duration { return h.late }

func TestARunThatHangsIsNotHealthy(t *testing.T) {
	v := &overview{links: map[string]*shownLink{"gpu-1": {session: &session{engine: hungEngine{late: time.Second}}}}}
	if err := v.Healthy(); err != nil {
		t.Errorf("a look takes a second: %v", err)
	}
	v.links["gpu-1"].engine = hungEngine{late: time.Minute}
	if err := v.Healthy(); err == nil || !strings.Contains(err.Error(), "gpu-1: what is due has waited for 1m0s") {
		t.Errorf("a look takes a minute: %v", err)
	}
}
