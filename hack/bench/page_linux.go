package main

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"regexp"
	"strings"
	"time"

	"reconciler.dev/reconciler/internal/web/page"
	"reconciler.dev/reconciler/internal/web/webtest"
	"reconciler.dev/reconciler/test/browser"
)

// pageDaemons is how many daemons the page shows, and pageLoads how often it is loaded.
const (
	pageDaemons = 500
	pageLoads   = 15
)

// responding has a page tell when it answered the first letters in its filter, in milliseconds since the navigation began, and how long the answer took, with all rows laid out.
const responding = `window.responded = new Promise((done) => addEventListener("DOMContentLoaded", () => requestAnimationFrame(() => setTimeout(() => {
	const began = performance.now();
	const q = document.getElementById("q");
	q.value = "worker-3";
	q.dispatchEvent(new Event("input"));
	const rows = [...document.querySelectorAll("#daemons tr[id]")];
	const shown = rows.filter((row) => row.getBoundingClientRect().height > 0).length;
	done([performance.now(), performance.now() - began, rows.length, shown]);
}))));`

// thePage measures the page of a run in Chromium, which loads it from a view without a run behind it; beside it one with few daemons, which is what Chromium itself takes.
func (b *bench) thePage(ctx context.Context) ([]row, error) {
	var first, few, answered, sizes figures
	err := errors.Join(
		showing(webtest.New(1, 5), func(_ *webtest.View, url string) (err error) {
			few, _, err = loads(ctx, url, 5)
			return err
		}),
		showing(webtest.New(5, pageDaemons/5), func(v *webtest.View, url string) (err error) {
			if first, answered, err = loads(ctx, url, pageDaemons); err == nil {
				sizes, err = updateSizes(ctx, v, url)
			}
			return err
		}))
	if err != nil {
		return nil, err
	}
	return []row{
		{what: fmt.Sprintf("page: %d daemons, from the navigation to the first answer of its filter", pageDaemons), unit: "ms", ours: first, bar: 200},
		{what: "page: the same with 5 daemons", unit: "ms", ours: few},
		{what: fmt.Sprintf("page: that answer, with %d", pageDaemons), unit: "ms", ours: answered},
		{what: fmt.Sprintf("page: an update where all %d daemons have new figures", pageDaemons), unit: "B", ours: sizes, bar: 10000},
	}, nil
}

// showing serves the page of a view while use runs.
func showing(v *webtest.View, use func(v *webtest.View, url string) error) error {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return err
	}
	s := &http.Server{Handler: page.Handler(v), ReadHeaderTimeout: time.Second}
	served := make(chan error, 1)
	go func() { served <- s.Serve(l) }()
	err = errors.Join(use(v, "http://"+l.Addr().String()), s.Close())
	if ended := <-served; !errors.Is(ended, http.ErrServerClosed) {
		err = errors.Join(err, ended)
	}
	return err
}

// loads returns how long a page of so many daemons takes to answer, from the navigation on and from the question on.
func loads(ctx context.Context, url string, daemons float64) (first, answered figures, err error) {
	c, err := browser.Start()
	if err != nil {
		return nil, nil, err
	}
	defer func() { err = errors.Join(err, c.Close()) }()
	for range pageLoads {
		t, err := c.Open(ctx, browser.Look{Width: 1280, Height: 900})
		if err != nil {
			return nil, nil, err
		}
		var got [4]float64
		err = errors.Join(t.Prepare(ctx, responding), t.Go(ctx, url+"/"), t.Eval(ctx, "responded", &got), t.Close(ctx))
		if err != nil {
			return nil, nil, err
		}
		if got[2] != daemons || got[3] >= daemons {
			return nil, nil, fmt.Errorf("load %s: it has %v daemons, and %v of them match", url, got[2], got[3])
		}
		first.add(got[0])
		answered.add(got[1])
	}
	return first, answered, nil
}

// updateSizes returns the bytes of updates, as they come, while all figures change.
func updateSizes(ctx context.Context, v *webtest.View, url string) (sizes figures, err error) {
	ask := func(path string) (io.ReadCloser, error) {
		r, err := http.NewRequestWithContext(ctx, "GET", url+path, nil)
		if err != nil {
			return nil, err
		}
		res, err := http.DefaultClient.Do(r)
		if err != nil {
			return nil, err
		}
		return res.Body, nil
	}
	body, err := ask("/")
	if err != nil {
		return nil, err
	}
	text, err := io.ReadAll(body)
	if err = errors.Join(err, body.Close()); err != nil {
		return nil, err
	}
	version := regexp.MustCompile(`data-version="([^"]+)"`).FindSubmatch(text)
	if version == nil {
		return nil, fmt.Errorf("load %s: the page has no version", url)
	}
	if body, err = ask("/updates?since=" + string(version[1])); err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, body.Close()) }()
	events, size := bufio.NewReader(body), 0
	changeFigures(v, 0)
	for len(sizes) < 5 {
		line, err := events.ReadString('\n')
		if err != nil {
			return nil, err
		}
		size += len(line)
		if line != "\n" {
			continue
		}
		if size > 1000 { // and no sign of life
			sizes.add(float64(size))
			changeFigures(v, len(sizes))
		}
		size = 0
	}
	return sizes, nil
}

// changeFigures has every daemon use something else.
func changeFigures(v *webtest.View, k int) {
	for i, d := range v.Daemons() {
		u, _ := v.Usage(d.Host, d.Name)
		if u.Memory.Current != nil && !strings.HasSuffix(d.Name, "9") {
			u.Rates.CPU, u.Memory.Current = new(float64(i%80+k)/100+.015), new(int64(i+100+k)<<20)
		}
		v.SetUsage(d.Host, u)
	}
}
