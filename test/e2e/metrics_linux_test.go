package e2e

import (
	"encoding/json"
	"fmt"
	"net/http"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"reconciler.dev/reconciler/internal/freeport"
)

const monitoring = "../../examples/monitoring"

// TestExamplesOfMonitoringAreSound, as promtool has it: the configuration, the rules, and what becomes of them over time.
func TestExamplesOfMonitoringAreSound(t *testing.T) {
	t.Parallel()
	promtool := find(t, "promtool", "prometheus")
	for _, args := range [][]string{{"check", "config", "prometheus.yml"}, {"check", "rules", "alerts.yml"}, {"test", "rules", "alerts_test.yml"}} {
		cmd := exec.Command(promtool, args...)
		cmd.Dir = monitoring
		if out, err := cmd.CombinedOutput(); err != nil || !strings.Contains(string(out), "SUCCESS") {
			t.Errorf("promtool %s: %v\n%s", strings.Join(args, " "), err, out)
		}
	}
}

// scraping is a Prometheus that a run keeps, and that scrapes the run.
type scraping struct {
	*machine
	run, at string // where the two listen
}

// scraped declares a Prometheus, Debian's, with the configuration of the examples, but for addresses and intervals.
func (m *machine) scraped() *scraping {
	m.t.Helper()
	s := &scraping{m, freeport.Address(m.t), freeport.Address(m.t)}
	for _, file := range []string{"prometheus.yml", "alerts.yml"} {
		text := strings.NewReplacer("127.0.0.1:9640", s.run, "15s", "1s").Replace(m.read(filepath.Join(monitoring, file)))
		m.write("prometheus/"+file, text)
	}
	m.write("manifests/prometheus.yaml", fmt.Sprintf(`apiVersion: reconciler.dev/v1
kind: DaemonSpec
metadata: {name: prometheus}
spec:
  binary: %s
  args: [--config.file=%s, --storage.tsdb.path=%s, --web.listen-address=%s]
  env: {GOMAXPROCS: "1"}
  health: {url: "http://%[4]s/-/ready", interval: 200ms}
  metrics: {url: "http://%[4]s"}
`, find(m.t, "prometheus", "prometheus"), m.path("prometheus/prometheus.yml"), m.path("tsdb"), s.at))
	return s
}

// query asks Prometheus for an instant vector, and returns its values by daemon, or by job where they have none.
func (s *scraping) query(expr string) (map[string]string, error) {
	body, err := fetch(http.MethodGet, "http://"+s.at+"/api/v1/query?query="+url.QueryEscape(expr))
	if err != nil {
		return nil, fmt.Errorf("%s: %w", expr, err)
	}
	var answer struct {
		Data struct {
			Result []struct {
				Metric map[string]string `json:"metric"`
				Value  []any             `json:"value"`
			} `json:"result"`
		} `json:"data"`
	}
	if err := json.Unmarshal([]byte(body), &answer); err != nil {
		return nil, err
	}
	values := map[string]string{}
	for _, r := range answer.Data.Result {
		name := r.Metric["daemon"]
		if name == "" {
			name = r.Metric["job"]
		}
		values[name] = fmt.Sprint(r.Value[1])
	}
	return values, nil
}

// finds waits until Prometheus has a value for one of the daemons or jobs.
func (s *scraping) finds(expr, of string, is func(value string) bool) {
	s.t.Helper()
	var last map[string]string
	defer func() {
		if s.t.Failed() {
			s.t.Logf("%s: %v", expr, last)
		}
	}()
	s.eventually(fmt.Sprintf("Prometheus finds %s of %s", expr, of), func() bool {
		last, _ = s.query(expr)
		return is(last[of])
	})
}

func equals(want string) func(string) bool { return func(v string) bool { return v == want } }

// TestPrometheusScrapesARun, discovers the daemons that expose metrics, and follows what becomes of them. The Prometheus is one of those daemons.
func TestPrometheusScrapesARun(t *testing.T) {
	t.Parallel()
	m := newMachine(t)
	s := m.scraped()
	w := m.witness("web").listening()
	w.spec += "  metrics: {url: \"http://" + w.addr + "/metrics\"}\n"
	w.declare()
	m.witness("silent").declare()
	m.keep("-f", m.path("manifests"), "--listen", s.run)
	pid := w.becomes(0)

	s.finds("up", "reconciler", equals("1"))
	s.finds("up", "web", equals("1"))
	s.finds("up", "prometheus", equals("1"))
	s.finds("witness_pid", "web", equals(fmt.Sprint(pid)))
	if found, err := s.query("up"); err != nil || len(found) != 3 {
		t.Errorf("it scrapes %v, %v; want the run, and the two daemons that expose metrics", found, err)
	}
	s.finds(`reconciler_daemon_state{state="running"}`, "silent", equals("1"))
	s.finds("reconciler_daemon_ready", "web", equals("1"))
	s.finds("rate(reconciler_daemon_cpu_seconds_total[10s]) > 0", "prometheus", func(v string) bool { return v != "" })
	s.finds("reconciler_daemon_memory_bytes > 1e6", "prometheus", func(v string) bool { return v != "" })
	s.finds("time() - reconciler_daemon_start_time_seconds < 600", "web", func(v string) bool { return v != "" })

	w.kill()
	w.becomes(pid)
	s.finds("reconciler_daemon_restarts_total", "web", equals("1"))
	s.finds(`reconciler_daemon_last_exit_signal{signal="SIGKILL"}`, "web", equals("1"))
	m.ok("stop", "web")
	s.finds(`reconciler_daemon_state{state="stopped"}`, "web", equals("1"))
	s.finds("up", "web", equals("0"))
	m.exampleQueries(s)
}

// exampleQueries holds the dashboard and the alerts against the run: each metric that they name is one that there is, and Prometheus takes each query.
func (m *machine) exampleQueries(s *scraping) {
	m.t.Helper()
	text, err := fetch(http.MethodGet, "http://"+s.run+"/metrics")
	if err != nil {
		m.t.Fatal(err)
	}
	known := regexp.MustCompile(`(?m)^# TYPE (\S+) (\S+)$`).FindAllStringSubmatch(text, -1)
	names := map[string]bool{}
	for _, k := range known {
		names[k[1]] = true
		if k[2] == "histogram" {
			names[k[1]+"_bucket"], names[k[1]+"_count"], names[k[1]+"_sum"] = true, true, true
		}
	}
	named := regexp.MustCompile(`\b(reconciler|process|go)_[a-z0-9_]+`)
	queries := dashboardQueries(m.t)
	for _, q := range regexp.MustCompile(`(?m)^ +expr: (.*)$`).FindAllStringSubmatch(m.read(filepath.Join(monitoring, "alerts.yml")), -1) {
		queries = append(queries, q[1])
	}
	if len(queries) < 40 {
		m.t.Errorf("only %d queries were found in the examples", len(queries))
	}
	for _, q := range queries {
		q = strings.NewReplacer("$__rate_interval", "1m", "$instance", ".*", "$host", ".*", "$daemon", ".*").Replace(q)
		for _, name := range named.FindAllString(q, -1) {
			if !names[name] {
				m.t.Errorf("%s: there is no metric %s", q, name)
			}
		}
		if strings.HasPrefix(q, "label_values(") { // a function of Grafana
			q = strings.TrimPrefix(q[:strings.LastIndex(q, ",")], "label_values(")
		}
		if _, err := s.query(q); err != nil {
			m.t.Errorf("Prometheus doesn't take it: %v", err)
		}
	}
}

// dashboardQueries are all that the dashboard asks.
func dashboardQueries(t testing.TB) (queries []string) {
	t.Helper()
	b, err := os.ReadFile(filepath.Join(monitoring, "dashboard.json"))
	if err != nil {
		t.Fatal(err)
	}
	var board struct {
		Panels []struct {
			ID      int    `json:"id"`
			Title   string `json:"title"`
			GridPos struct{ X, Y, W, H int }
			Targets []struct {
				Expr string `json:"expr"`
			} `json:"targets"`
		} `json:"panels"`
		Templating struct {
			List []struct {
				Definition string `json:"definition"`
			} `json:"list"`
		} `json:"templating"`
	}
	if err := json.Unmarshal(b, &board); err != nil {
		t.Fatal(err)
	}
	ids := map[int]bool{}
	for i, p := range board.Panels {
		if ids[p.ID] || p.Title == "" || p.GridPos.X+p.GridPos.W > 24 {
			t.Errorf("panel %d, %q, has the id or the place of another, or no title", p.ID, p.Title)
		}
		ids[p.ID] = true
		for _, other := range board.Panels[:i] {
			if a, b := p.GridPos, other.GridPos; a.X < b.X+b.W && b.X < a.X+a.W && a.Y < b.Y+b.H && b.Y < a.Y+a.H {
				t.Errorf("panel %q lies over %q", p.Title, other.Title)
			}
		}
		for _, target := range p.Targets {
			queries = append(queries, target.Expr)
		}
	}
	for _, v := range board.Templating.List {
		if v.Definition != "" {
			queries = append(queries, v.Definition)
		}
	}
	return slices.Clip(queries)
}

// TestListenWithAToken: Prometheus is let in with it, others aren't.
func TestListenWithAToken(t *testing.T) {
	t.Parallel()
	m := newMachine(t)
	const token = "correct-horse-battery-staple"
	file := m.write("token", token+"\n")
	if err := os.Chmod(file, 0o600); err != nil {
		t.Fatal(err)
	}
	s := m.scraped()
	config := strings.NewReplacer("# authorization:", "authorization:", "/etc/prometheus/reconciler-token", file).Replace(m.read(m.path("prometheus/prometheus.yml")))
	m.write("prometheus/prometheus.yml", config)
	_, port, _ := strings.Cut(s.run, ":")
	m.keep("-f", m.path("manifests"), "--listen", "0.0.0.0:"+port, "--listen-token-file", file)
	s.finds("up", "reconciler", equals("1"))
	s.finds("up", "prometheus", equals("1"))
	if _, err := fetch(http.MethodGet, "http://"+s.run+"/metrics"); err == nil || !strings.Contains(err.Error(), "401") {
		t.Errorf("without the token: %v", err)
	}
	m.exits(2, "run", "-f", m.path("manifests"), "--set=other", "--listen", "0.0.0.0:"+port).says("--listen-token-file")
	m.exits(1, "run", "-f", m.path("manifests"), "--set=other", "--listen", s.run).says("another program does already")
}
