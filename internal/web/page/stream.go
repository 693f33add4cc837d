package page

import (
	"context"
	"errors"
	"net/http"
	"strconv"
	"strings"
	"time"
)

const (
	// An update follows another after pace; where one couldn't hold all, the next comes after backlogPace.
	pace        = time.Second
	backlogPace = 250 * time.Millisecond
	// aliveEvery is how often a reader hears something at least: the script takes silence for a lost link.
	aliveEvery = 5 * time.Second
	// figuresAge is how old figures may be while somebody looks at them.
	figuresAge = 5 * time.Second
	// writeTime is how long a reader that reads nothing is borne with.
	writeTime = 10 * time.Second
)

// The events beside updates: there is nothing new, and the page is to be loaded anew.
const (
	eventAlive  = "alive"
	eventReload = "reload"
)

// stream is one reader's updates.
type stream struct {
	w       http.ResponseWriter
	epoch   string
	version uint64
	only    int
	spoke   time.Time
}

// updates sends what changes from the version on that the reader has, as an event's id or ?since=, and with ?only= no more than what is about that daemon.
func (p *page) updates(w http.ResponseWriter, r *http.Request) {
	select {
	case p.readers <- struct{}{}:
		defer func() { <-p.readers }()
	default:
		w.Header().Set("Retry-After", "10")
		http.Error(w, "too many pages follow what changes: close some, this one tries again", http.StatusServiceUnavailable)
		return
	}
	h := w.Header()
	h.Set("Content-Type", "text/event-stream")
	h.Set("Cache-Control", "no-store")
	h.Set("X-Accel-Buffering", "no") // nginx would hold events back
	if r.Method == http.MethodHead {
		return
	}
	since := r.Header.Get("Last-Event-ID")
	if since == "" {
		since = r.FormValue("since")
	}
	epoch, version, _ := strings.Cut(since, ".")
	st := &stream{w: w, epoch: p.epoch}
	var err error
	if st.version, err = strconv.ParseUint(version, 10, 64); err != nil || epoch != p.epoch {
		_ = st.send(p.now(), eventReload, nil) // it ends here anyway, and the reader asks again
		return
	}
	st.only, _ = strconv.Atoi(r.FormValue("only"))
	if err := http.NewResponseController(w).SetReadDeadline(time.Time{}); err != nil && !errors.Is(err, http.ErrNotSupported) {
		return // a server's ReadTimeout would end the stream, and it can't be lifted
	}
	ctx, cancel := context.WithCancel(r.Context())
	measured := make(chan struct{})
	go func() {
		defer close(measured)
		p.measure(ctx)
	}()
	p.follow(ctx, st)
	cancel()
	<-measured
}

// measure keeps figures fresh for as long as somebody looks.
func (p *page) measure(ctx context.Context) {
	for ctx.Err() == nil {
		p.view.Measure(ctx, figuresAge)
		wait(ctx, figuresAge, nil)
	}
}

// follow sends updates until ctx or the reader ends, or the reader has to begin anew.
func (p *page) follow(ctx context.Context, st *stream) {
	for {
		_, more := p.view.Changed()
		now := p.now()
		p.sheet.refresh(now)
		u, next, ok := p.sheet.since(st.version, st.only, now)
		st.version = next
		var err error
		switch {
		case !ok:
			_ = st.send(now, eventReload, nil) // it ends here anyway, and the reader asks again
			return
		case u != nil:
			err = st.send(now, "", u.text())
		case now.Sub(st.spoke) >= aliveEvery:
			err = st.send(now, eventAlive, nil)
		}
		if err != nil {
			return
		}
		switch {
		case u == nil:
			wait(ctx, pace, more)
		case u.more:
			wait(ctx, backlogPace, nil)
		default:
			wait(ctx, pace, nil)
		}
		if ctx.Err() != nil {
			return
		}
	}
}

// send writes one event, of which data is one line; without any it is the server's time.
func (st *stream) send(now time.Time, event string, data []byte) error {
	var b []byte
	if event != "" {
		b = append(b, "event: "+event+"\n"...)
	}
	if data == nil {
		data = strconv.AppendInt(nil, now.Unix(), 10)
	}
	if event != eventReload {
		b = append(b, "id: "+st.epoch+"."+strconv.FormatUint(st.version, 10)+"\n"...)
	}
	b = append(append(append(b, "data: "...), data...), "\n\n"...)
	rc := http.NewResponseController(st.w)
	if err := rc.SetWriteDeadline(time.Now().Add(writeTime)); err != nil && !errors.Is(err, http.ErrNotSupported) {
		return err
	}
	if _, err := st.w.Write(b); err != nil {
		return err
	}
	st.spoke = now
	return rc.Flush()
}

// wait returns after d, when ctx ends, or when more is closed.
func wait(ctx context.Context, d time.Duration, more <-chan struct{}) {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-ctx.Done():
	case <-t.C:
	case <-more:
	}
}
