package page

import (
	"bytes"
	"crypto/rand"
	"crypto/sha256"
	"embed"
	"encoding/hex"
	"html/template"
	"io/fs"
	"net/http"
	"strings"
	"time"

	"reconciler.dev/reconciler/internal/web"
)

//go:embed assets
var assets embed.FS

//go:embed templates
var templates embed.FS

// page serves one view.
type page struct {
	view  web.View
	now   func() time.Time
	sheet *sheet
	tmpl  *template.Template
	// epoch tells this sheet's versions from those of a run before.
	epoch string
	// readers and loads bound how many streams there are, and how many pages of daemons are made, at once.
	readers, loads chan struct{}
}

// The most readers that are sent updates, and the most pages of daemons that are made, at once.
const (
	maxReaders = 64
	maxLoads   = 8
)

// Handler serves the page: / is the overview, /daemons/HOST/NAME one daemon, /updates what changes, and /assets/ the rest. It answers GET and HEAD alone, and what it sends needs
// no more of a Content-Security-Policy than 'self'. Streams end with their requests.
func Handler(v web.View) http.Handler { return handler(v, time.Now) }

func handler(v web.View, now func() time.Time) http.Handler {
	p := &page{view: v, now: now, sheet: newSheet(v), epoch: rand.Text()[:8], readers: make(chan struct{}, maxReaders), loads: make(chan struct{}, maxLoads)}
	p.tmpl = template.Must(template.New("").Funcs(template.FuncMap{
		"age":    func(at int64) string { return age(at, p.now()) },
		"clock":  clock,
		"plural": plural,
	}).ParseFS(templates, "templates/*.html"))
	mux := http.NewServeMux()
	mux.HandleFunc("GET /{$}", p.overview)
	mux.HandleFunc("GET /daemons/{host}/{name}", p.daemon)
	mux.HandleFunc("GET /updates", p.updates)
	mux.HandleFunc("GET /assets/{file}", asset)
	return mux
}

// asset serves an embedded file. A browser asks each time whether it has changed, which costs it nothing: a new version of the program must not run with an old script.
func asset(w http.ResponseWriter, r *http.Request) {
	name := r.PathValue("file")
	text, err := fs.ReadFile(assets, "assets/"+name)
	if err != nil {
		http.NotFound(w, r)
		return
	}
	w.Header().Set("Cache-Control", "no-cache")
	serve(w, r, map[string]string{"css": "text/css", "js": "text/javascript", "svg": "image/svg+xml"}[name[strings.LastIndexByte(name, '.')+1:]], text)
}

// serve writes text, or that the reader has it already.
func serve(w http.ResponseWriter, r *http.Request, kind string, text []byte) {
	sum := sha256.Sum256(text)
	h := w.Header()
	h.Set("Content-Type", kind+"; charset=utf-8")
	h.Set("X-Content-Type-Options", "nosniff")
	h.Set("ETag", `"`+hex.EncodeToString(sum[:16])+`"`)
	http.ServeContent(w, r, "", time.Time{}, bytes.NewReader(text))
}

// render serves a template. It is made whole first, so that what can't be made is no half of a page.
func (p *page) render(w http.ResponseWriter, r *http.Request, status int, name string, data any) {
	var b bytes.Buffer
	if err := p.tmpl.ExecuteTemplate(&b, name, data); err != nil {
		http.Error(w, "make the page: "+err.Error(), http.StatusInternalServerError)
		return
	}
	w.Header().Set("Cache-Control", "no-store") // a log is nothing for a browser's disk
	if status == http.StatusOK {
		serve(w, r, "text/html", b.Bytes())
		return
	}
	w.Header().Set("Content-Type", "text/html; charset=utf-8")
	w.WriteHeader(status)
	_, _ = w.Write(b.Bytes()) // who doesn't read it doesn't want it
}
