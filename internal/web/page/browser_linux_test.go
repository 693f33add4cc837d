package page

import (
	"cmp"
	"context"
	"fmt"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"reconciler.dev/reconciler/internal/plaintext"
	"reconciler.dev/reconciler/internal/web"
	"reconciler.dev/reconciler/internal/web/webtest"
	"reconciler.dev/reconciler/pkg/spec"
	"reconciler.dev/reconciler/test/browser"
)

// policy is what the listener sends with each answer.
const policy = "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; connect-src 'self'"

// live is when a page's script runs and its updates come.
const live = `document.getElementById("link").textContent == "Live"`

// chromium is a browser for one test.
func chromium(t *testing.T) *browser.Browser {
	t.Helper()
	b, err := browser.Start()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := b.Close(); err != nil {
			t.Error(err)
		}
	})
	return b
}

// passing serves a view whose time goes on.
func passing(v *webtest.View) http.Handler {
	began := time.Now()
	return handler(v, func() time.Time { return v.Now.Add(time.Since(began)) })
}

// served is a view on a port, as the listener serves it.
func served(t *testing.T, v *webtest.View) *httptest.Server {
	h := passing(v)
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Content-Security-Policy", policy)
		h.ServeHTTP(w, r)
	}))
	t.Cleanup(func() {
		s.CloseClientConnections()
		s.Close()
	})
	return s
}

// tab is a page in a test.
type tab struct {
	*browser.Page
	t *testing.T
}

// must fails the test where f does, or takes a minute.
func must(t *testing.T, f func(context.Context) error) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	if err := f(ctx); err != nil {
		t.Fatal(err)
	}
}

func open(t *testing.T, b *browser.Browser, look browser.Look, url string) tab {
	t.Helper()
	p := tab{t: t}
	must(t, func(ctx context.Context) (err error) {
		p.Page, err = b.Open(ctx, look)
		return err
	})
	p.visit(url)
	return p
}

func (p tab) visit(url string) {
	p.t.Helper()
	must(p.t, func(ctx context.Context) error { return p.Go(ctx, url) })
}

func (p tab) until(expression string) {
	p.t.Helper()
	must(p.t, func(ctx context.Context) error {
		if err := p.Until(ctx, expression); err != nil {
			return fmt.Errorf("%w; the page says %q", err, p.Problems())
		}
		return nil
	})
}

func (p tab) want(expression string, want any) {
	p.t.Helper()
	var got any
	must(p.t, func(ctx context.Context) error { return p.Eval(ctx, expression, &got) })
	if fmt.Sprint(got) != fmt.Sprint(want) {
		p.t.Errorf("%s is %v, want %v", expression, got, want)
	}
}

func (p tab) do(script string) {
	p.t.Helper()
	must(p.t, func(ctx context.Context) error { return p.Eval(ctx, "("+script+", null)", new(any)) })
}

func (p tab) noProblems() {
	p.t.Helper()
	for _, problem := range p.Problems() {
		p.t.Error(problem)
	}
}

// shoot keeps a picture for people, where SCREENSHOTS names a folder.
func (p tab) shoot(name string) {
	p.t.Helper()
	dir := cmp.Or(os.Getenv("SCREENSHOTS"), p.t.TempDir())
	must(p.t, func(ctx context.Context) error { return p.Screenshot(ctx, filepath.Join(dir, name+".png"), false) })
}

// faint lists texts whose colour is too near to that of their ground, by the contrast ratio of WCAG 2.
const faint = `(() => {
	const rgb = (c) => c.match(/[\d.]+/g).map(Number);
	const lum = (c) => { const [r, g, b] = rgb(c).map((v) => (v /= 255) <= .03928 ? v / 12.92 : ((v + .055) / 1.055) ** 2.4); return .2126 * r + .7152 * g + .0722 * b; };
	const ground = (e) => { for (; e; e = e.parentElement) { const c = getComputedStyle(e).backgroundColor; if ((rgb(c)[3] ?? 1) == 1) return c; } return "rgb(255, 255, 255)"; };
	const found = new Set();
	for (const e of document.querySelectorAll("body *")) {
		if (![...e.childNodes].some((n) => n.nodeType == 3 && n.data.trim()) || !e.checkVisibility()) continue;
		const [a, b] = [lum(getComputedStyle(e).color), lum(ground(e))].sort((x, y) => y - x);
		if ((a + .05) / (b + .05) < 4.5) found.add(e.tagName + "." + e.className + " " + ((a + .05) / (b + .05)).toFixed(2));
	}
	return [...found].join("; ");
})()`

// wide lists what sticks out of the window.
const wide = `[...document.querySelectorAll("main *")].filter((e) => e.checkVisibility() && !e.closest("pre, svg, .vh, output") && e.getBoundingClientRect().right > innerWidth + .5)
	.map((e) => e.tagName + "." + e.className).join(" ") + (document.documentElement.scrollWidth > innerWidth ? "the page" : "")`

func TestLooks(t *testing.T) {
	b := chromium(t)
	for n, v := range map[int]*webtest.View{5: webtest.New(1, 5), 500: webtest.New(5, 100)} {
		v.Diffs["worker-3"] = "--- daemon/worker-3 (applied, generation 1)\n+++ daemon/worker-3 (worker.yaml:1)\n@@ spec.cgroup.memoryLimit: Live, drift @@\n-1Gi\n+512Mi\n"
		v.Logged["worker-3"] = strings.Repeat("2026-05-04T11:59:58Z level=info msg=\"job done\" took=12ms\n2026-05-04T11:59:59Z level=warn msg=\"a longer line, which has to be broken where the window is narrow\" url=https://example.com/a/path/without/blanks/in/it\n", 20)
		v.Happened["worker-3"] = []spec.Event{
			{At: v.Now.Add(-time.Hour), Type: "Normal", Reason: "Started", Message: "process 1003"},
			{At: v.Now.Add(-time.Minute), Type: "Warning", Reason: "Unhealthy", Message: "GET http://127.0.0.1:8080/healthz: 503 Service Unavailable", Count: 12},
		}
		url := served(t, v).URL
		for _, dark := range []bool{false, true} {
			for _, width := range []int{1280, 360} {
				look := browser.Look{Width: width, Height: 900, Dark: dark, Mobile: width < 500}
				name := fmt.Sprintf("%d-%s-%d", n, map[bool]string{false: "light", true: "dark"}[dark], width)
				t.Run(name, func(t *testing.T) {
					p := open(t, b, look, url+"/")
					p.until(live)
					p.want(`document.querySelectorAll("#daemons tr[id]").length`, n)
					p.want(`[...document.querySelectorAll("#daemons tr[id]")].filter((r) => r.checkVisibility()).length`, n)
					p.want(`matchMedia("(prefers-color-scheme: dark)").matches`, dark)
					p.want(wide, "")
					p.want(faint, "")
					p.shoot(name)
					p.visit(url + "/daemons/localhost/worker-3")
					p.until(live)
					p.want(`document.querySelectorAll("main section").length`, len(sections()))
					p.want(`[...document.querySelectorAll("svg .line")].every((line) => line.getBBox().width > 700)`, true)
					p.want(wide, "")
					p.want(faint, "")
					p.shoot(name + "-daemon")
					p.do(`scrollTo(0, 1e6)`)
					p.shoot(name + "-daemon-end")
					p.noProblems()
				})
			}
		}
	}
}

// The rows are laid out as grids, and stay what they are to who can't see them.
func TestATableIsATable(t *testing.T) {
	b := chromium(t)
	url := served(t, webtest.New(1, 10)).URL
	for width, columns := range map[int]int{1280: 8, 360: 0} { // a narrow page shows no heads of columns
		p := open(t, b, browser.Look{Width: width, Height: 900}, url+"/")
		p.until(live)
		must(t, func(ctx context.Context) error {
			n, err := p.Roles(ctx)
			if n["table"] != 1 || n["rowheader"] != 11 || n["columnheader"] != columns || n["cell"] < 50 || n["main"] != 1 || n["navigation"] != 1 || n["search"] != 1 || n["heading"] != 1 {
				t.Errorf("%d pixels wide it has %v", width, n)
			}
			return err
		})
	}
}

func TestAHiddenPageLetsGo(t *testing.T) {
	v := webtest.New(1, 3)
	h := passing(v)
	var readers atomic.Int32
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path == "/updates" {
			readers.Add(1)
			defer readers.Add(-1)
		}
		h.ServeHTTP(w, r)
	}))
	defer s.Close()
	defer s.CloseClientConnections()
	p := open(t, chromium(t), browser.Look{Width: 1280, Height: 900}, s.URL+"/")
	p.until(live)
	p.do(`(Object.defineProperty(document, "hidden", { get: () => window.away, configurable: true }), window.away = true, document.dispatchEvent(new Event("visibilitychange")))`)
	must(t, func(ctx context.Context) error {
		for readers.Load() > 0 && ctx.Err() == nil {
			time.Sleep(5 * time.Millisecond)
		}
		return ctx.Err()
	})
	pause(v, "worker-1", "Resting")
	p.do(`(window.away = false, document.dispatchEvent(new Event("visibilitychange")))`)
	p.until(`document.querySelector("tr.off .state")?.textContent == "Resting"`)
	p.until(live)
	p.noProblems()
}

func TestWithoutJavaScript(t *testing.T) {
	b, v := chromium(t), webtest.New(5, 100)
	p := open(t, b, browser.Look{Width: 1280, Height: 900, NoScript: true}, served(t, v).URL+"/")
	p.want(`[...document.querySelectorAll("#daemons tr[id]")].filter((r) => r.checkVisibility()).length`, 500)
	p.want(`document.querySelector("noscript meta").httpEquiv`, "refresh")
	p.want(`/^As of 2026-05-04 12:..:.. UTC; this page loads itself anew.$/.test(document.getElementById("link").innerText)`, true)
	p.want(`document.querySelectorAll("thead button").length`, 0)
	p.want(`document.querySelector(".filter button").checkVisibility()`, true)
	p.shoot("noscript")
	p.do(`document.querySelector(".filter").requestSubmit()`)
	p.noProblems()
}

func TestWhatChangesIsShown(t *testing.T) {
	b, v := chromium(t), webtest.New(2, 20)
	s := served(t, v)
	p := open(t, b, browser.Look{Width: 1280, Height: 900}, s.URL+"/")
	p.until(live)
	p.do(`window.stays = document.querySelector("a[href='/daemons/localhost/worker-1']")`)
	row := func(name string) string {
		return `document.querySelector("a[href='/daemons/localhost/` + name + `']")?.closest("tr")`
	}

	d, _ := v.Daemon("localhost", "worker-1")
	d.Phase, d.Word, d.Conditions = "Failed", "Failed", []spec.Condition{{Type: spec.Ready, Status: spec.False, Reason: "Unhealthy", Message: "<b>503</b>", LastTransitionTime: v.Now.Add(-150 * time.Minute)}}
	v.See(d)
	p.until(row("worker-1") + `.className == "bad"`)
	p.want(`[...`+row("worker-1")+`.cells].map((c) => c.innerText.replaceAll(/\s+/g, " ").trim()).join("|")`, "Failed|worker-1|no|10.0|2.0M 512M|1|2m|2h Unhealthy: <b>503</b>")
	p.want(`document.querySelector(".tally.bad b").textContent`, 3)

	u := using(2.5, 490<<20)
	u.Name, u.Memory.Limit = "worker-2", new(spec.Bound(512<<20))
	v.SetUsage("localhost", u)
	p.until(row("worker-2") + `.cells[3].textContent == "250"`)
	p.want(row("worker-2")+`.cells[4].className`, "n mem f19")
	u.Rates.CPU, u.Memory.Current = nil, nil
	v.SetUsage("localhost", u)
	p.until(row("worker-2") + `.cells[3].textContent == "?"`)
	p.want(row("worker-2")+`.cells[3].title`, "not known")

	added := running()
	added.Name = "worker-11-b"
	v.See(added)
	p.until(row("worker-11-b") + ` != null`)
	p.want(row("worker-11-b")+`.previousElementSibling.cells[1].textContent`, "worker-11")
	v.Forget("localhost", "worker-11-b")
	p.until(row("worker-11-b") + ` == null`)

	v.Put(web.Host{Name: "localhost", Why: "unreachable"})
	p.until(`document.querySelectorAll("tr.unknown").length == 40`)
	p.want(`document.getElementById("unreached").textContent`, "2 not reached")
	v.Put(web.Host{Name: "alpha", Reachable: true})
	p.until(`document.querySelector("tbody .h").textContent == "alpha"`)
	v.Drop("gpu-1")
	p.until(`document.querySelectorAll("#daemons tr[id]").length == 20`)
	p.want(`window.stays.isConnected`, true)
	p.noProblems()

	s.CloseClientConnections()
	if err := s.Listener.Close(); err != nil {
		t.Error(err)
	}
	p.until(`document.getElementById("link").textContent.startsWith("Disconnected since ")`)
	p.want(`document.body.classList.contains("lost-link")`, true)
	p.shoot("disconnected")
}

func TestFilterAndOrder(t *testing.T) {
	b := chromium(t)
	p := open(t, b, browser.Look{Width: 1280, Height: 900}, served(t, webtest.New(2, 20)).URL+"/?state=unknown")
	p.until(live)
	const shown = `[...document.querySelectorAll("#daemons tr[id]")].filter((r) => !r.hidden).length`
	p.want(shown, 21)
	p.do(`document.querySelector(".tally[data-kind=unknown]").click()`)
	p.want(shown, 40)
	p.want(`location.search`, "")
	p.do(`document.dispatchEvent(new KeyboardEvent("keydown", { key: "/", bubbles: true }))`)
	p.want(`document.activeElement.id`, "q")
	p.do(`(document.activeElement.value = "EXIT status", document.activeElement.dispatchEvent(new Event("input")))`)
	p.want(shown, 1)
	p.want(`document.getElementById("shown").textContent + location.search`, "1 of 40 shown?q=EXIT+status")
	p.do(`(q.value = "", q.dispatchEvent(new Event("input")))`)
	first := func(n int) string {
		return fmt.Sprintf(`[...document.querySelectorAll("#daemons tbody:last-of-type tr[id]")].slice(0, %d).map((r) => r.cells[1].textContent).join()`, n)
	}
	for _, step := range []struct {
		column int
		want   string
	}{{0, "worker-11,worker-7,worker-15,worker-3"}, {0, "worker-0,worker-1,worker-10,worker-12"}, {4, "worker-19,worker-18,worker-17,worker-16"}, {1, "worker-0,worker-1,worker-10,worker-11"}} {
		p.do(fmt.Sprintf(`document.querySelectorAll("thead button")[%d].click()`, step.column))
		p.want(first(4), step.want)
	}
	p.want(`document.querySelectorAll("[aria-sort]").length`, 1)
	p.noProblems()
}

func TestADaemonsPageFollows(t *testing.T) {
	b, v := chromium(t), webtest.New(1, 5)
	v.Logged["worker-1"] = "first line\n"
	p := open(t, b, browser.Look{Width: 1280, Height: 900}, served(t, v).URL+"/daemons/localhost/worker-1")
	p.until(live)
	p.do(`window.stays = document.getElementById("usage")`)
	d, _ := v.Daemon("localhost", "worker-1")
	d.Phase, d.Word = "Stopping", "Terminating"
	v.See(d)
	p.until(`document.querySelector(".is .state").textContent == "Stopping"`)
	p.want(`document.querySelector(".is").className`, "is busy")
	p.want(`window.stays.isConnected`, true)
	v.Forget("localhost", "worker-1")
	p.until(`document.querySelector(".is .state").textContent == "Gone"`)
}

// An address may have the token in it, as the password of any user; what the page asks for later is let through as the page was.
func TestBehindAToken(t *testing.T) {
	h := passing(webtest.New(1, 3))
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if _, token, _ := r.BasicAuth(); token != "open-sesame" {
			w.Header().Set("WWW-Authenticate", `Basic realm="test"`)
			w.WriteHeader(http.StatusUnauthorized)
			return
		}
		h.ServeHTTP(w, r)
	}))
	defer s.Close()
	defer s.CloseClientConnections()
	p := open(t, chromium(t), browser.Look{Width: 1280, Height: 900}, strings.Replace(s.URL, "http://", "http://any:open-sesame@", 1)+"/daemons/localhost/worker-1")
	p.until(live)
	p.until(`performance.getEntriesByType("resource").some((e) => e.name.includes("section=log") && e.responseStatus == 200)`)
	p.noProblems()
}

// In a browser, too, what a daemon writes is text and nothing else.
func TestHostileTextsInABrowser(t *testing.T) {
	b := chromium(t)
	for _, s := range evil() {
		v := hostile(s)
		url := served(t, v).URL
		p := open(t, b, browser.Look{Width: 360, Height: 900, Mobile: true}, url+"/")
		p.until(live)
		shown := strings.Join(strings.Fields(plaintext.Line(s, nameRunes)), " ")
		p.want(`document.querySelector("#daemons tr[id] a").innerText`, shown)
		p.want(`document.querySelectorAll("#daemons tr[id] > *").length`, 8)
		d, _ := v.Daemon(s, s)
		d.Name, d.Phase, d.Drift = s+"2", s+"2", nil
		v.See(d)
		p.until(`document.querySelectorAll("#daemons tr[id]").length == 2`)
		p.want(`document.querySelectorAll("#daemons tr[id] > *").length`, 16)
		p.want(wide, "")
		p.want(`document.querySelectorAll("script").length`, 1)
		p.visit(url + path(s, s))
		p.until(live)
		p.want(`document.querySelector("h1").innerText`, shown)
		p.want(wide, "")
		p.want(`document.title.includes("reconciler") && document.querySelectorAll("script").length == 1 && document.querySelectorAll("main img").length == 0`, true)
		p.noProblems()
		must(t, p.Close)
	}
}
