package web_test

import (
	"maps"
	"net/http"
	"net/http/httptest"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/prometheus/common/expfmt"
	"github.com/prometheus/common/model"

	"reconciler.dev/reconciler/internal/web"
	"reconciler.dev/reconciler/internal/web/webtest"
	"reconciler.dev/reconciler/pkg/spec"
)

const openMetrics = "application/openmetrics-text; version=1.0.0,text/plain;q=0.5"

// ask gets a path of all that is served of a view.
func ask(t testing.TB, v web.View, path, accept string) *httptest.ResponseRecorder {
	t.Helper()
	loop := new(web.Loop)
	loop.Looked(3, 2*time.Millisecond, true)
	loop.Looked(3, time.Hour, false)
	loop.Stepped("Start", web.Done, 30*time.Millisecond)
	loop.Stepped("Start", web.Failed, time.Second)
	r := httptest.NewRequest(http.MethodGet, path, nil)
	r.Header.Set("Accept", accept)
	w := httptest.NewRecorder()
	web.Handlers{View: v, Loop: loop, Page: http.NotFoundHandler()}.Handler().ServeHTTP(w, r)
	return w
}

// series are the samples of a text, with their values.
func series(t testing.TB, text string) map[string]string {
	t.Helper()
	all := map[string]string{}
	for l := range strings.Lines(text) {
		if strings.HasPrefix(l, "#") {
			continue
		}
		name, value, ok := strings.Cut(strings.TrimSuffix(l, "\n"), "} ")
		if ok {
			name += "}"
		} else if name, value, ok = strings.Cut(name, " "); !ok {
			t.Fatalf("%q is no sample", l)
		}
		if _, twice := all[name]; twice {
			t.Fatalf("%s is there twice", name)
		}
		all[name] = value
	}
	return all
}

// about keeps what is said of one daemon, and calls it by its metric and what labels it has besides.
func about(all map[string]string, daemon string) map[string]string {
	of := `{host="localhost",daemon="` + daemon + `"`
	found := map[string]string{}
	for name, value := range all {
		if metric, rest, ok := strings.Cut(name, of); ok {
			found[strings.TrimPrefix(metric, "reconciler_daemon_")+strings.TrimSuffix(strings.TrimPrefix(rest, ","), "}")] = value
		}
	}
	return found
}

func TestMetricsOfADaemon(t *testing.T) {
	v := webtest.New(1, 20)
	got := about(series(t, ask(t, v, "/metrics", openMetrics).Body.String()), "worker-10")
	want := map[string]string{
		`infodriver="systemd",set="default"`: "1", "ready": "1", "reconciling": "0", "stalled": "0", "paused": "0", "drifted_fields": "0", "unenforced_fields": "0", "generation": "1",
		`statestate="running"`: "1", `statestate="starting"`: "0", `statestate="stopping"`: "0", `statestate="stopped"`: "0", `statestate="restarting"`: "0", `statestate="failed"`: "0",
		`statestate="absent"`: "0", `statestate="unknown"`: "0",
		"start_time_seconds": "1777895340", "restarts_total": "1", "restart_attempts": "0",
		"cpu_seconds_total": "11", "cpu_user_seconds_total": "8.25", "cpu_system_seconds_total": "2.75", "cpu_throttled_seconds_total": "0.011", "cpu_limit_cores": "2",
		"memory_bytes": "11534336", "memory_anon_bytes": "5767168", "memory_file_bytes": "2883584", "memory_peak_bytes": "23068672", "memory_limit_bytes": "536870912", "oom_kills_total": "1",
		"io_read_bytes_total": "45056", "io_written_bytes_total": "180224", "io_reads_total": "11", "io_writes_total": "22", "network_receive_bytes_total": "720896", "network_transmit_bytes_total": "360448",
		"tasks": "3", "tasks_limit": "+Inf", "processes": "1", "open_fds": "14",
		`pressure_waiting_seconds_totalresource="cpu"`: "0.011", `pressure_waiting_seconds_totalresource="memory"`: "0.011", `pressure_waiting_seconds_totalresource="io"`: "0.011",
		`pressure_stalled_seconds_totalresource="cpu"`: "0.000011", `pressure_stalled_seconds_totalresource="memory"`: "0.000011", `pressure_stalled_seconds_totalresource="io"`: "0.000011",
		`gpu_memory_bytesgpu="GPU-8a56a4bc"`: "1.1811160064e+10", `gpu_memory_total_bytesgpu="GPU-8a56a4bc"`: "8.589934592e+10", `gpu_utilization_ratiogpu="GPU-8a56a4bc"`: "0.425",
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
}

// TestMetricsLeaveOutWhatIsNotKnown: no series is better than one that says zero.
func TestMetricsLeaveOutWhatIsNotKnown(t *testing.T) {
	v := webtest.New(2, 20) // the second host is lost
	all := series(t, ask(t, v, "/metrics", openMetrics).Body.String())
	got := about(all, "worker-15")
	for _, name := range []string{"infodriver=\"systemd\",set=\"default\"", "reconciling", "stalled"} {
		delete(got, name)
	}
	if diff := cmp.Diff(map[string]string{`statestate="unknown"`: "1"}, got); diff != "" {
		t.Errorf("of a daemon that can't be looked at (-want +got):\n%s", diff)
	}
	if plain := about(all, "worker-9"); plain["memory_bytes"] == "" || plain["memory_peak_bytes"] != "" || plain["oom_kills_total"] != "" {
		t.Errorf("of a plain process, in which nobody counts that: %v", plain)
	}
	ended := about(all, "worker-11")
	if ended["last_exit_code"] != "3" || ended[`statestate="failed"`] != "1" || ended["memory_bytes"] != "" {
		t.Errorf("of one that ended with 3: %v", ended)
	}
	if killed := about(all, "worker-13"); killed[`last_exit_signalsignal="SIGKILL"`] != "1" || killed["last_exit_oom_killed"] != "1" || killed["last_exit_code"] != "" {
		t.Errorf("of one that was killed: %v", killed)
	}
	lost := 0
	for name, value := range all {
		if strings.Contains(name, `host="gpu-1",daemon=`) {
			if lost++; !strings.HasPrefix(name, "reconciler_daemon_state{") || value != "1" || !strings.Contains(name, `state="unknown"`) {
				t.Errorf("of a host that is lost: %s %s", name, value)
			}
		}
	}
	if lost != 20 || all[`reconciler_host_reachable{host="gpu-1"}`] != "0" || all[`reconciler_host_links_lost_total{host="gpu-1"}`] != "1" {
		t.Errorf("%d series of the daemons of a lost host, want one each", lost)
	}
	if ages := v.Asked(); !slices.Equal(ages, []time.Duration{time.Second}) {
		t.Errorf("figures were asked for with ages %v", ages)
	}
	v.Put(web.Host{Name: "gpu-2", Why: web.NotReachedYet})
	if _, told := series(t, ask(t, v, "/metrics", openMetrics).Body.String())[`reconciler_host_reachable{host="gpu-2"}`]; told {
		t.Error("it is told of a host that wasn't tried whether it can be reached")
	}
}

// TestFiguresThatAreNotOfNowBearTheirTime: that at which they were read, and the second that those may have of which nothing is said. What a look found bears none.
func TestFiguresThatAreNotOfNowBearTheirTime(t *testing.T) {
	v := webtest.New(1, 20)
	u, _ := v.Usage("localhost", "worker-10")
	u.Read = time.Unix(1777895340, 250e6)
	v.SetUsage("localhost", u)
	for accept, want := range map[string]string{openMetrics: "11 1777895341.25", "": "11 1777895341250"} {
		all := series(t, ask(t, v, "/metrics", accept).Body.String())
		if got := about(all, "worker-10")["cpu_seconds_total"]; got != want {
			t.Errorf("as %q it says %s, want %s", accept, got, want)
		}
		if got := about(all, "worker-10")["ready"]; got != "1" {
			t.Errorf("as %q it says that the daemon is ready with %s, want 1", accept, got)
		}
		if got := about(all, "worker-8")["tasks"]; got != "1" {
			t.Errorf("as %q it says of one that was read just now %s, want 1", accept, got)
		}
	}
	parser := expfmt.NewTextParser(model.LegacyValidation)
	families, err := parser.TextToMetricFamilies(ask(t, v, "/metrics", "").Body)
	if err != nil {
		t.Fatal(err)
	}
	for _, m := range families["reconciler_daemon_cpu_seconds_total"].Metric {
		if at := m.GetTimestampMs(); at != 0 && at != 1777895341250 {
			t.Errorf("Prometheus' parser takes %v as of %d", m, at)
		}
	}
}

// TestMetricsInBothFormats: who asks for OpenMetrics gets that, and others what Prometheus' own parser reads, with the same samples.
func TestMetricsInBothFormats(t *testing.T) {
	v := webtest.New(2, 20)
	v.See(web.Daemon{Host: "a\\b\"c\nd", Phase: "Running", Observed: spec.Observed{Name: "\xff", State: spec.Running}})
	open, plain := ask(t, v, "/metrics", openMetrics), ask(t, v, "/metrics", "*/*")
	if got := open.Header().Get("Content-Type"); got != "application/openmetrics-text; version=1.0.0; charset=utf-8" {
		t.Errorf("asked for OpenMetrics, it answers with %s", got)
	}
	if got := plain.Header().Get("Content-Type"); got != "text/plain; version=0.0.4; charset=utf-8" {
		t.Errorf("asked for anything, it answers with %s", got)
	}
	if !strings.HasSuffix(open.Body.String(), "\n# EOF\n") || strings.Contains(plain.Body.String(), "# EOF") {
		t.Error("OpenMetrics alone ends with # EOF")
	}
	unsteady := regexp.MustCompile(`^(process|go)_`)
	inBoth := func(all map[string]string) map[string]string {
		maps.DeleteFunc(all, func(name, _ string) bool { return unsteady.MatchString(name) })
		return all
	}
	if diff := cmp.Diff(inBoth(series(t, open.Body.String())), inBoth(series(t, plain.Body.String()))); diff != "" {
		t.Errorf("samples (-OpenMetrics +plain):\n%s", diff)
	}
	parser := expfmt.NewTextParser(model.LegacyValidation)
	families, err := parser.TextToMetricFamilies(plain.Body)
	if err != nil {
		t.Fatal(err)
	}
	found := false
	for _, m := range families["reconciler_daemon_state"].Metric {
		found = found || m.Label[0].GetValue() == "a\\b\"c\nd" && m.Label[1].GetValue() == "\uFFFD"
	}
	if !found {
		t.Error("names with quotes, backslashes and newlines don't come through")
	}
	checkHeads(t, open.Body.String())
}

// checkHeads holds what OpenMetrics says of families: each once, with its unit at the end of its name, and its samples with the suffix of its kind.
func checkHeads(t *testing.T, text string) {
	t.Helper()
	suffix := map[string]string{"counter": "_total", "info": "_info", "gauge": "", "histogram": "_(bucket|sum|count)"}
	seen := map[string]bool{}
	var name, kind string
	for l := range strings.Lines(text) {
		switch f := strings.Fields(l); {
		case strings.HasPrefix(l, "# HELP "):
			if name = f[2]; seen[name] {
				t.Errorf("%s is there twice", name)
			}
			seen[name] = true
		case strings.HasPrefix(l, "# TYPE "):
			if kind = f[3]; f[2] != name {
				t.Errorf("the type of %s is told in the middle of %s", f[2], name)
			}
		case strings.HasPrefix(l, "# UNIT "):
			if f[2] != name || !strings.HasSuffix(name, "_"+f[3]) {
				t.Errorf("%s has the unit %s", name, f[3])
			}
		case strings.HasPrefix(l, "# EOF"):
		case !regexp.MustCompile("^" + name + suffix[kind] + "[ {]").MatchString(l):
			t.Errorf("%q is a sample of %s, which is a %s", l, name, kind)
		}
	}
}

// TestMetricsOfTheLoop are counted over all hosts.
func TestMetricsOfTheLoop(t *testing.T) {
	all := series(t, ask(t, webtest.New(1, 0), "/metrics", openMetrics).Body.String())
	for name, want := range map[string]string{
		`reconciler_look_duration_seconds_bucket{le="0.001"}`: "0", `reconciler_look_duration_seconds_bucket{le="0.005"}`: "1", `reconciler_look_duration_seconds_bucket{le="60"}`: "1",
		`reconciler_look_duration_seconds_bucket{le="+Inf"}`: "2", "reconciler_look_duration_seconds_sum": "3600.002", "reconciler_look_duration_seconds_count": "2",
		"reconciler_looked_daemons_total": "3", "reconciler_look_failures_total": "1",
		`reconciler_step_duration_seconds_count{verb="Start",outcome="done"}`: "1", `reconciler_step_duration_seconds_sum{verb="Start",outcome="failed"}`: "1",
		`reconciler_step_duration_seconds_bucket{verb="Start",outcome="done",le="0.1"}`: "1", `reconciler_host_reachable{host="localhost"}`: "1",
	} {
		if all[name] != want {
			t.Errorf("%s is %q, want %s", name, all[name], want)
		}
	}
}

// TestSeriesAreBoundedByTheDaemons, whatever becomes of them.
func TestSeriesAreBoundedByTheDaemons(t *testing.T) {
	v := webtest.New(1, 100)
	count := func() int { return len(series(t, ask(t, v, "/metrics", openMetrics).Body.String())) }
	before := count()
	for i := range 50 {
		for _, d := range v.Daemons() {
			if in := d.Instance; in != nil {
				again := *in
				again.PID, again.ID, again.Restarts = 5000+i, time.Duration(i).String(), i
				d.Instance = &again
			}
			d.Message, d.Seq = time.Duration(i).String(), 0
			v.See(d)
		}
	}
	if after := count(); after != before || after > 100*60 {
		t.Errorf("%d series before, and %d after each daemon was restarted 50 times", before, after)
	}
}

// FuzzMetricsAreWhatTheParserReads: whatever hosts and daemons are called, Prometheus' own parser reads the names that were written.
func FuzzMetricsAreWhatTheParserReads(f *testing.F) {
	f.Add("gpu-1", "web", int64(1), 0.5)
	f.Add("a\"b\\", "c\nd}", int64(-1<<63), -1e300)
	f.Fuzz(func(t *testing.T, host, name string, n int64, share float64) {
		v := webtest.New(1, 0)
		v.See(web.Daemon{Host: host, Phase: "Running", Observed: spec.Observed{Name: name, State: spec.Running}})
		used := time.Duration(n)
		u := web.Usage{Sample: spec.Sample{Name: name, State: spec.Running, CPU: spec.CPUUse{Usage: &used}, Tasks: &n, GPUs: []spec.GPUUse{{UUID: host, Utilisation: &share}}}}
		v.SetUsage(host, u)
		parser := expfmt.NewTextParser(model.LegacyValidation)
		families, err := parser.TextToMetricFamilies(ask(t, v, "/metrics", "").Body)
		if err != nil {
			t.Fatal(err)
		}
		m := families["reconciler_daemon_cpu_seconds_total"].Metric[0]
		if h, d := m.Label[0].GetValue(), m.Label[1].GetValue(); h != strings.ToValidUTF8(host, "\uFFFD") || d != strings.ToValidUTF8(name, "\uFFFD") {
			t.Errorf("%q on %q is read as %q on %q", name, host, d, h)
		}
		if got, want := m.Counter.GetValue(), used.Seconds(); got != want && (got-want)/want > 1e-15 {
			t.Errorf("%v is read as %v", want, got)
		}
		if got := families["reconciler_daemon_tasks"].Metric[0].Gauge.GetValue(); got != float64(n) {
			t.Errorf("%d is read as %v", n, got)
		}
	})
}

func BenchmarkMetricsOf1000Daemons(b *testing.B) {
	v := webtest.New(1, 1000)
	h := web.Handlers{View: v, Loop: new(web.Loop), Page: http.NotFoundHandler()}.Handler()
	for b.Loop() {
		r := httptest.NewRequest(http.MethodGet, "/metrics", nil)
		r.Header.Set("Accept", openMetrics)
		w := discarded{header: http.Header{}}
		h.ServeHTTP(&w, r)
		b.SetBytes(w.size)
	}
}

// discarded is an answer that nobody reads.
type discarded struct {
	header http.Header
	size   int64
}

func (d *discarded) Header() http.Header { return d.header }
func (*discarded) WriteHeader(int)       {}

func (d *discarded) Write(p []byte) (int, error) {
	d.size += int64(len(p))
	return len(p), nil
}
