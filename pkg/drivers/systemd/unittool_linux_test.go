package systemd

import (
	"bytes"
	"context"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"reconciler.dev/reconciler/internal/testprog"
	"reconciler.dev/reconciler/pkg/spec"
	"reconciler.dev/reconciler/test/labhost"
)

// serving is a daemon that answers at an address of its own: see testprog.Options.HTTP.
func (b *bare) serving(name, port string, more testprog.Options) *spec.Daemon {
	d := b.daemon(name)
	more.Report, more.HTTP, more.Exit = filepath.Join(b.dir, name+".report"), "127.0.0.1:"+port, -1
	d.Spec.Args = more.Args()
	return d
}

// told is what a daemon was told, in order.
func (b *bare) told(name string) string {
	b.t.Helper()
	text, err := os.ReadFile(filepath.Join(b.dir, name+".report"))
	if err != nil {
		b.t.Fatal(err)
	}
	lines, err := testprog.ParseReport(text)
	if err != nil {
		b.t.Fatal(err)
	}
	var events []string
	for _, l := range lines {
		if l.Event != "" {
			events = append(events, l.Event)
		}
	}
	return strings.Join(events, ", ")
}

// show returns properties of a unit as systemd has them.
func (b *bare) show(unit string, properties ...string) string {
	b.t.Helper()
	args := []string{"show", unit}
	for _, p := range properties {
		args = append(args, "-p", p)
	}
	return strings.Join(strings.Fields(string(b.systemctl(args...))), " ")
}

// systemctl stop by hand does as reconciler does: it posts, waits, and goes on to the signal.
func TestStopURL(t *testing.T) {
	onAll(t, func(b *bare) {
		proxy, main := "http://127.0.0.1:1", "1"
		for i, tt := range []struct {
			name, path string
			grace      time.Duration
			told       string
			least      time.Duration
			most       time.Duration
		}{
			{"it ends by itself", "/stop", 20 * time.Second, "POST /stop", 0, 15 * time.Second},
			{"it says no", "/status/500", 20 * time.Second, "SIGTERM", 0, 15 * time.Second},
			{"it sends elsewhere", "/status/302", 20 * time.Second, "SIGTERM", 0, 15 * time.Second},
			{"it says yes, and stays", "/status/200", 700 * time.Millisecond, "SIGTERM", 600 * time.Millisecond, 15 * time.Second},
			{"nobody answers", ":1/stop", 20 * time.Second, "SIGTERM", 0, 15 * time.Second},
		} {
			b.sub(tt.name, func(t *testing.T, b *bare) {
				port := strconv.Itoa(4000 + i)
				d := b.serving("stop"+port, port, testprog.Options{Note: "SIGTERM", Linger: time.Millisecond})
				d.Spec.Stop = spec.Stop{Signal: "SIGTERM", GracePeriod: spec.Duration(tt.grace), URL: "http://127.0.0.1:" + port + tt.path}
				if strings.HasPrefix(tt.path, ":") {
					d.Spec.Stop.URL = "http://127.0.0.1" + tt.path
				}
				d.Spec.Restart.Backoff.Initial = spec.Duration(time.Millisecond)
				d.Spec.Env = map[string]spec.EnvVar{"HTTP_PROXY": {Value: &proxy}, mainPID: {Value: &main}}
				b.start(d)
				began := time.Now()
				b.systemctl("stop", d.Name+".service")
				if took := time.Since(began); took < tt.least || took > tt.most {
					t.Errorf("it took %v, want %v to %v", took, tt.least, tt.most)
				}
				if got := b.told(d.Name); got != tt.told {
					t.Errorf("it was told %q, want %q", got, tt.told)
				}
				if got := b.show(d.Name+".service", "ActiveState", "Result", "NRestarts"); got != "Result=success NRestarts=0 ActiveState=inactive" {
					t.Errorf("it is %s", got)
				}
			})
		}
		b.sub("what ended by itself isn't asked", func(t *testing.T, b *bare) {
			asked := make(chan string, 10)
			server := httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) { asked <- r.URL.Path }))
			defer server.Close()
			d := b.daemon("ended")
			d.Spec.Args = testprog.Options{Report: filepath.Join(b.dir, "ended.report"), Exit: 0}.Args()
			d.Spec.Restart.Policy, d.Spec.Stop.URL = spec.RestartNever, server.URL
			b.start(d)
			b.eventually("it has ended", func() bool { return b.show("ended.service", "ActiveState") == "ActiveState=inactive" })
			if len(asked) != 0 {
				t.Errorf("%s was posted to", <-asked)
			}
		})
	})
}

func (b *bare) eventually(what string, is func() bool) {
	b.t.Helper()
	ctx, cancel := context.WithTimeout(b.t.Context(), 20*time.Second)
	defer cancel()
	for !is() {
		select {
		case <-ctx.Done():
			b.t.Fatalf("it never came that %s", what)
		case <-time.After(5 * time.Millisecond):
		}
	}
}

// systemctl reload by hand does as reconciler does.
func TestReload(t *testing.T) {
	onAll(t, func(b *bare) {
		for i, tt := range []struct {
			name   string
			reload spec.Reload
			told   string
			fails  bool
		}{
			{"by signal", spec.Reload{Signal: "SIGHUP"}, "SIGHUP", false},
			{"by URL", spec.Reload{URL: "/reload"}, "POST /reload", false},
			{"by URL, refused", spec.Reload{URL: "/status/503"}, "", true},
		} {
			b.sub(tt.name, func(t *testing.T, b *bare) {
				port := strconv.Itoa(4100 + i)
				d := b.serving("reload"+port, port, testprog.Options{Note: "SIGHUP"})
				if tt.reload.URL != "" {
					tt.reload.URL = "http://127.0.0.1:" + port + tt.reload.URL
				}
				d.Spec.Reload = &tt.reload
				b.start(d)
				args := []string{"reload", d.Name + ".service"}
				if b.facts.User {
					args = append([]string{"--user"}, args...)
				}
				if out, err := exec.Command("systemctl", args...).CombinedOutput(); (err != nil) != tt.fails {
					t.Errorf("%v: %s", err, out)
				}
				b.eventually("it was told", func() bool { return b.told(d.Name) == tt.told })
				if got := b.show(d.Name+".service", "ActiveState"); got != "ActiveState=active" {
					t.Errorf("it is %s", got)
				}
			})
		}
	})
}

// The tool does nothing for anybody but a unit.
func TestTheToolIsCalledByUnitsOnly(t *testing.T) {
	for _, tt := range []struct {
		args   []string
		called bool
		status int
		says   string
	}{
		{nil, false, 0, ""},
		{[]string{"reconciler", toolStop}, false, 0, ""},
		{[]string{"/usr/bin/" + toolStop, "http://x", "1"}, false, 0, ""},
		{[]string{toolStop}, true, exitUsage, "reconciler-stop: this is called by units only\n"},
		{[]string{toolExec, ":/"}, true, exitUsage, "reconciler-exec: this is called by units only\n"},
		{[]string{toolExec, ":", "no mark"}, true, exitUsage, "reconciler-exec: \"no mark\" begins with neither ':' nor '~'\n"},
		{[]string{toolExec, ":/no/such/dir", ":/bin/true"}, true, exitChdir, "reconciler-exec: enter /no/such/dir: no such file or directory\n"},
		{[]string{toolExec, ":", ":/no/such/program"}, true, exitExec, "reconciler-exec: execute /no/such/program: no such file or directory\n"},
		{[]string{toolReload, "SIGHUP"}, true, exitFailure, "reconciler-reload: the daemon has no main process to signal\n"},
		{[]string{toolStop, "http://127.0.0.1:1", "1000"}, true, 0, ""},
	} {
		t.Setenv(mainPID, "")
		var says bytes.Buffer
		status, called := Tool(t.Context(), tt.args, &says)
		if status != tt.status || called != tt.called || says.String() != tt.says {
			t.Errorf("%q: status %d, called %v, says %q", tt.args, status, called, says.String())
		}
	}
}

func TestDecodedEnv(t *testing.T) {
	k, v := encoded(3, "odd name", "\xff\x01=")
	got, err := decodedEnv([]string{"A=b", k + "=" + v, "C="})
	if want := []string{"A=b", "odd name=\xff\x01=", "C="}; err != nil || !slices.Equal(got, want) {
		t.Errorf("%q, %v; want %q", got, err, want)
	}
	if _, err := decodedEnv([]string{toolVariable + "1=s3cr3t!"}); err == nil || strings.Contains(err.Error(), "s3cr3t") {
		t.Errorf("a variable that isn't encoded: %v", err)
	}
}

// A reboot stops politely, and what is enabled is back after it, without reconciler.
func TestReboot(t *testing.T) {
	tool, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	program := filepath.Join(t.TempDir(), "prog")
	build := exec.Command("go", "build", "-o", program, testprog.Package)
	build.Env = append(os.Environ(), "CGO_ENABLED=0")
	if built := os.Getenv("RECONCILER_TESTPROG"); built != "" {
		program = built
	} else if out, err := build.CombinedOutput(); err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	h := labhost.Start(t, labhost.Systemd, labhost.Bind{From: tool, To: "/lab/tool"}, labhost.Bind{From: program, To: "/lab/prog"})
	d := daemonOf(t, manifestHead)
	o := testprog.Stay("/var/report")
	o.HTTP = "127.0.0.1:4200"
	d.Spec.Binary, d.Spec.Args, d.Spec.Stop.URL = "/lab/prog", o.Args(), "http://127.0.0.1:4200/stop"
	f := factsOf(252, false)
	f.Tool = "/lab/tool"
	u, err := Render(d, stampOf1(d), f)
	if err != nil {
		t.Fatal(err)
	}
	if err := h.Put("/etc/systemd/system/"+u.Name, u.Text, 0o644); err != nil {
		t.Fatal(err)
	}
	if out, err := h.Command(t.Context(), "systemctl", "enable", "--now", u.Name).CombinedOutput(); err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	begun := func() (n int, events []string) {
		text, err := h.Get("/var/report")
		if err != nil {
			return 0, nil
		}
		lines, err := testprog.ParseReport(text)
		if err != nil {
			t.Fatal(err)
		}
		for _, l := range lines {
			if l.Event != "" {
				events = append(events, l.Event)
			} else {
				n++
			}
		}
		return n, events
	}
	wait := func(n int) {
		ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
		defer cancel()
		for {
			if got, _ := begun(); got >= n {
				return
			}
			select {
			case <-ctx.Done():
				t.Fatalf("it never ran for the %dth time", n)
			case <-time.After(5 * time.Millisecond):
			}
		}
	}
	wait(1)
	if err := h.Reboot(t.Context()); err != nil {
		t.Fatal(err)
	}
	wait(2)
	if n, events := begun(); n != 2 || !slices.Equal(events, []string{"POST /stop"}) {
		t.Errorf("it ran %d times and was told %q, want 2 and POST /stop", n, events)
	}
}
