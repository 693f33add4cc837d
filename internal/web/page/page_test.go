package page

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"regexp"
	"strings"
	"testing"
	"testing/synctest"
	"time"
	"unicode"
	"unicode/utf8"

	"reconciler.dev/reconciler/internal/web"
	"reconciler.dev/reconciler/internal/web/webtest"
	"reconciler.dev/reconciler/pkg/spec"
)

func get(h http.Handler, path string) *httptest.ResponseRecorder {
	w := httptest.NewRecorder()
	h.ServeHTTP(w, httptest.NewRequest("GET", path, nil))
	return w
}

func at(v *webtest.View) http.Handler { return handler(v, func() time.Time { return v.Now }) }

func TestOverview(t *testing.T) {
	v := webtest.New(3, 20)
	body := get(at(v), "/").Body.String()
	for what, want := range map[string]int{
		`<tbody id="i`: 3 + 1, `<tr id="i`: 60 + 1, `href="/daemons/gpu-1/worker-3"`: 1, // one each is the blank for the script
		`<tr class="host lost">`: 1, `>unreachable</span>`: 1, `<b>28</b> Unknown`: 0, ` class="bad"`: 4 + 1, ` class="unknown"`: 2 + 20, ">3 hosts</span>": 1, ">1 not reached</span>": 1,
	} {
		if n := strings.Count(body, what); n != want {
			t.Errorf("%q stands there %d times, want %d", what, n, want)
		}
	}
	if strings.Count(body, "<noscript><meta") != 1 || strings.Contains(body, "style=") || strings.Contains(body, "<script>") || regexp.MustCompile(` on\w+=`).MatchString(body) {
		t.Error("without a script it loads itself anew, and nothing in it needs a policy that allows inline code")
	}
}

func TestOverviewFilters(t *testing.T) {
	h := at(webtest.New(2, 20))
	shown := func(path string) int {
		body := get(h, path).Body.String()
		return strings.Count(body, `<tr id="i`) - 1 - strings.Count(body, `" hidden><td class="state"`)
	}
	for path, want := range map[string]int{
		"/": 40, "/?q=WORKER-7": 2, "/?q=gpu-1": 20, "/?q=nothing+has+this": 0, "/?state=unknown": 21, "/?state=bad": 2, "/?state=bad&q=worker-11": 1, "/?state=nonsense": 40, "/?q=exit+status+3": 1,
	} {
		if got := shown(path); got != want {
			t.Errorf("%s shows %d, want %d", path, got, want)
		}
	}
	if body := get(h, `/?q="><script>alert(1)</script>&state="><b>`).Body.String(); strings.Contains(body, "<script>alert") || strings.Contains(body, "<b>\"") {
		t.Error("a query is taken for HTML")
	}
	if body := get(h, "/?state=bad&q=x").Body.String(); !strings.Contains(body, `name="state" value="bad"`) || !strings.Contains(body, `href="/?state=ok&amp;q=x"`) {
		t.Error("without a script a filter forgets what else was chosen")
	}
}

func TestNobodyIsKeptYet(t *testing.T) {
	if body := get(at(webtest.New(0, 0)), "/").Body.String(); !strings.Contains(body, "No host is kept by this run yet.") {
		t.Error("it doesn't say so")
	}
}

func TestDaemonsPage(t *testing.T) {
	v := webtest.New(2, 20)
	v.Diffs["worker-3"] = "--- a\n+++ b\n@@ spec.args: Restarted @@\n-old\n+new\n"
	v.Logged["worker-3"] = "one\n\ttwo  blanks\n\x1b[32mgreen\x1b[0m\r\n"
	v.Happened["worker-3"] = []spec.Event{{At: noon(), Type: "Normal", Reason: "Started"}, {At: noon(), Type: "Warning", Reason: "Unhealthy", Message: "HTTP 503", Count: 12}}
	body := get(at(v), "/daemons/localhost/worker-3").Body.String()
	for _, want := range []string{
		"<h1>worker-3</h1>", `<td class="state">False</td><td>NotReady</td>`, "its health check hasn&#39;t passed yet", "<dt>Cgroup</dt><dd>/rbee.slice/worker-3</dd>",
		`<span class="file">--- a`, `<span class="hunk">@@ spec.args`, `<span class="old">-old`, `<span class="new">&#43;new`,
		"<span>one\n</span>", "<span>\ttwo  blanks\n</span>", "<span>green\n</span>", "HTTP 503</td><td class=\"n\">12<", `<path class="line" d="M`, `aria-label="CPU: `, `data-id="`,
		`<dt>Net in / out</dt><dd>? / ?</dd>`, `<dt>GPU</dt><dd title="not known">?</dd>`,
	} {
		if !strings.Contains(body, want) {
			t.Errorf("it lacks %q", want)
		}
	}
	if strings.Index(body, "Unhealthy</td>") > strings.Index(body, "Started</td>") {
		t.Error("the latest event isn't the first")
	}
	if ended := get(at(v), "/daemons/localhost/worker-11").Body.String(); !strings.Contains(ended, "It doesn’t run.") {
		t.Error("what has ended isn't said to use nothing")
	}
	lost := get(at(v), "/daemons/gpu-1/worker-3").Body.String()
	for _, want := range []string{"The host can’t be asked", "unreachable: reach host gpu-1: no route to host", `class="is unknown"`, "Nothing is known of what it uses now."} {
		if !strings.Contains(lost, want) {
			t.Errorf("of a host that is lost it lacks %q", want)
		}
	}
}

func TestSectionsAlone(t *testing.T) {
	h := at(webtest.New(1, 20))
	body := get(h, "/daemons/localhost/worker-1?section=log,usage").Body.String()
	for section, want := range map[string]bool{"log": true, "usage": true, "events": false, "diff": false, "now": false} {
		if got := strings.Contains(body, `<section id="`+section+`"`); got != want {
			t.Errorf("%s is there: %v", section, got)
		}
	}
	if body := get(h, "/daemons/localhost/worker-1?section=everything").Body.String(); strings.Contains(body, "<section") {
		t.Error("what nobody knows is answered with something")
	}
}

func TestNoSuchPage(t *testing.T) {
	h := at(webtest.New(1, 1))
	for path, want := range map[string]int{
		"/daemons/localhost/nobody": 404, "/daemons/nowhere/worker-0": 404, "/daemons/localhost": 404, "/other": 404, "/assets/": 404, "/assets/none.css": 404, "/assets/..%2Fdoc.go": 404,
		"/daemons/localhost/%3Cscript%3Ealert(1)%3C%2Fscript%3E": 404,
	} {
		w := get(h, path)
		if w.Code != want || strings.Contains(w.Body.String(), "<script>alert") {
			t.Errorf("%s: %d, want %d\n%s", path, w.Code, want, w.Body)
		}
	}
	for _, path := range []string{"/", "/daemons/localhost/worker-0", "/updates", "/assets/style.css"} {
		w := httptest.NewRecorder()
		h.ServeHTTP(w, httptest.NewRequest("HEAD", path, nil)) // which ends, also where a GET doesn't
		w = httptest.NewRecorder()
		if h.ServeHTTP(w, httptest.NewRequest("POST", path, nil)); w.Code != http.StatusMethodNotAllowed {
			t.Errorf("POST %s: %d", path, w.Code)
		}
	}
}

func TestAnswersAreTyped(t *testing.T) {
	h := at(webtest.New(1, 1))
	for path, want := range map[string]string{
		"/": "text/html; charset=utf-8", "/daemons/localhost/worker-0": "text/html; charset=utf-8", "/daemons/localhost/nobody": "text/html; charset=utf-8",
		"/assets/style.css": "text/css; charset=utf-8", "/assets/live.js": "text/javascript; charset=utf-8", "/assets/icon.svg": "image/svg+xml; charset=utf-8",
	} {
		first := get(h, path)
		if got := first.Header().Get("Content-Type"); got != want {
			t.Errorf("%s is %s", path, got)
		}
		if keep := first.Header().Get("Cache-Control"); keep != map[bool]string{true: "no-cache", false: "no-store"}[strings.HasPrefix(path, "/assets/")] {
			t.Errorf("%s may be kept: %s", path, keep)
		}
		if first.Code != http.StatusOK {
			continue
		}
		again := httptest.NewRequest("GET", path, nil)
		again.Header.Set("If-None-Match", first.Header().Get("ETag"))
		w := httptest.NewRecorder()
		if h.ServeHTTP(w, again); w.Code != http.StatusNotModified || w.Body.Len() > 0 {
			t.Errorf("%s that is there already is answered %d with %d bytes", path, w.Code, w.Body.Len())
		}
	}
}

// evil are texts that try to become something else in a page, a terminal or a reader's eye.
func evil() []string {
	return []string{
		`<script>document.title="pwned"</script>`, `"><img src=x onerror='document.title="pwned"'>`, `' onmouseover='document.title="pwned"`, `javascript:document.title="pwned"`,
		`</pre></td></table></template><svg onload=document.title="pwned">`, "\x1b[31mred\x1b]0;title\a\x1b[2J", "\u202etxt.exe\u2066", "\xff\xfe\xc3", "nul\x00 and \u009b31m", "line\nbreak\r\n\u2028", `{{.}} ${x} </script><!--`,
		"../../etc/passwd", "a/b?c#d", strings.Repeat("<", 5000),
	}
}

// hostile is a view in which every text is s.
func hostile(s string) *webtest.View {
	v := &webtest.View{Now: noon(), Diffs: map[string]string{s: s + "\n-" + s}, Logged: map[string]string{s: s + "\n" + s}, Happened: map[string][]spec.Event{s: {{At: noon(), Type: s, Reason: s, Message: s, Name: s}}}}
	v.Put(web.Host{Name: s, Why: s, Message: s, Drivers: []spec.DriverKind{spec.DriverKind(s)}, Address: s})
	v.See(web.Daemon{
		Host: s, Phase: s, Word: s, Fallback: []string{s}, LastExit: &spec.Exit{Known: true, Signal: s}, Seen: noon(),
		Observed: spec.Observed{
			Name: s, State: spec.Running, Message: s, Driver: spec.DriverKind(s), Cgroup: s, Foreign: s, Paused: &spec.Pause{By: s}, Instance: &spec.Instance{ID: s, PID: 7},
			Drift: []spec.Drift{{Field: s, Have: s, Want: s}}, Lost: []spec.Loss{{Field: s, Reason: s}}, Limits: []spec.Limit{{Field: s, Value: s}},
			Stamp: &spec.Stamp{Owner: spec.Owner{Set: s}, Spec: spec.Spec{Binary: s, HealthURL: s}},
		},
		Conditions: []spec.Condition{{Type: spec.ConditionType(s), Status: spec.ConditionStatus(s), Reason: s, Message: s}, {Type: spec.Ready, Status: spec.False, Reason: s, Message: s}},
	})
	return v
}

func TestHostileTexts(t *testing.T) {
	tag := regexp.MustCompile(`<(?:script|img|svg|/?pre|/?template)[^>]*>`)
	ours := map[string][]string{}
	for _, p := range []string{"/", "daemon"} {
		for _, s := range append([]string{"harmless"}, evil()...) {
			v := hostile(s)
			url := p
			if p == "daemon" {
				url = path(s, s)
			}
			w := get(at(v), url)
			body := w.Body.String()
			if w.Code != http.StatusOK {
				t.Fatalf("%s of %.40q: %d %s", p, s, w.Code, body)
			}
			if i := strings.IndexFunc(body, func(r rune) bool { return !unicode.IsPrint(r) && r != '\n' }); i >= 0 || !utf8.ValidString(body) {
				t.Errorf("%s of %.40q has what isn't printable: %.60q", p, s, body[max(i, 0):])
			}
			if strings.Contains(body, `href="javascript:`) || strings.Contains(body, "ZgotmplZ") {
				t.Errorf("%s of %.40q has a link that it shouldn't", p, s)
			}
			if len(body) > 100<<10 {
				t.Errorf("%s of %.40q has %d bytes", p, s, len(body))
			}
			tags := tag.FindAllString(body, -1)
			if s == "harmless" {
				ours[p] = tags
			}
			for _, e := range tags {
				if strings.Contains(e, "pwned") {
					t.Errorf("%s of %.40q has the element %s", p, s, e)
				}
			}
			if n := len(ours[p]); len(tags) != n {
				t.Errorf("%s of %.40q has %d elements and not %d", p, s, len(tags), n)
			}
		}
	}
}

func TestHostileTextsInUpdates(t *testing.T) {
	for _, s := range evil() {
		sh := newSheet(hostile(s))
		sh.refresh(noon())
		u, _, _ := sh.since(0, 0, noon())
		text := string(u.text())
		if strings.ContainsAny(text, "\n\r<>&") || !utf8.ValidString(text) || strings.ContainsFunc(text, func(r rune) bool { return !unicode.IsPrint(r) }) {
			t.Errorf("the update of %.40q is %.300q", s, text)
		}
		if len(text) > 8000 {
			t.Errorf("the update of %.40q has %d bytes", s, len(text))
		}
	}
}

// flood is a log without an end, and a host that goes on and on about events and differences.
type flood struct{ *webtest.View }

func (flood) Logs(_ context.Context, _, _ string, _ int, w io.Writer) error {
	chunk := []byte(strings.Repeat("0123456789abcde\n", 1<<12))
	for range 1 << 10 { // 64 MB
		if _, err := w.Write(chunk); err != nil {
			return err
		}
	}
	_, err := io.WriteString(w, "the last line\n")
	return err
}

func (flood) Diff(context.Context, string, string) (string, error) {
	return strings.Repeat("+ more\n", 1<<16), nil
}

func (flood) Events(context.Context, string, string, int) ([]spec.Event, error) {
	return make([]spec.Event, 100000), nil
}

func TestFloodsAreBounded(t *testing.T) {
	v := webtest.New(1, 1)
	body := get(handler(flood{v}, func() time.Time { return v.Now }), "/daemons/localhost/worker-0").Body.String()
	if len(body) > 400<<10 {
		t.Errorf("the page has %d bytes", len(body))
	}
	if !strings.Contains(body, "the last line") || strings.Count(body, "0123456789abcde") != logLines-1 {
		t.Errorf("of a log the last %d lines are shown, not %d", logLines, strings.Count(body, "0123456789abcde"))
	}
	if n := strings.Count(body, `<td class="state" title="">`); n != eventCount || !strings.Contains(body, "There is more of it") {
		t.Errorf("%d events are shown", n)
	}
}

func TestTail(t *testing.T) {
	for _, sizes := range [][]int{{10}, {logShown}, {logShown + 1}, {1, logShown}, {3 * logShown, 5}, {logShown - 1, 1, 1}} {
		var w tail
		var all strings.Builder
		for i, n := range sizes {
			b := strings.Repeat(fmt.Sprint(i), n)
			all.WriteString(b)
			if m, err := w.Write([]byte(b)); m != n || err != nil {
				t.Fatal(m, err)
			}
		}
		want := all.String()[max(0, all.Len()-logShown):]
		if string(w.kept) != want || w.cut != (all.Len() > logShown) {
			t.Errorf("of writes of %v %d bytes are kept, cut %v", sizes, len(w.kept), w.cut)
		}
	}
}

// mute is a view whose host doesn't answer; sorry one whose host says why it can't.
type mute struct{ *webtest.View }

func (mute) Logs(ctx context.Context, _, _ string, _ int, w io.Writer) error {
	_, _ = io.WriteString(w, "what came before\n")
	<-ctx.Done()
	return fmt.Errorf("read the log: %w", ctx.Err())
}

func (mute) Diff(ctx context.Context, _, _ string) (string, error) {
	<-ctx.Done()
	return "", ctx.Err()
}

func (mute) Events(context.Context, string, string, int) ([]spec.Event, error) {
	return nil, errors.New("ask gpu-1: <no> route")
}

func TestWhatCantBeAskedIsSaidToBeUnknown(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		began := time.Now()
		body := get(Handler(mute{webtest.New(1, 1)}), "/daemons/localhost/worker-0").Body.String()
		if took := time.Since(began); took != loadTime {
			t.Errorf("it took %v", took)
		}
		for _, want := range []string{"They aren’t known: ask gpu-1: &lt;no&gt; route", "It isn’t known: context deadline exceeded", "It can’t be read: read the log: context deadline exceeded", "what came before"} {
			if !strings.Contains(body, want) {
				t.Errorf("it lacks %q", want)
			}
		}
		for _, wrong := range []string{"None are kept.", "None: it is as wanted.", "It is empty."} {
			if strings.Contains(body, wrong) {
				t.Errorf("what isn't known is said to be nothing: %s", wrong)
			}
		}
	})
}
