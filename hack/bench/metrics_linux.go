package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"path/filepath"
	"time"
)

// The scrapes of a run.
const (
	// scrapedDaemons is how many daemons the run keeps, whatever -n says, and scrapes how often it is asked.
	scrapedDaemons = 1000
	scrapes        = 15
	// scrapeEvery is the time between two: figures are older then than a scrape takes them.
	scrapeEvery = 3 * time.Second
)

// metrics measures scrapes of a run that keeps real daemons, as its client sees them: from the request to the last byte.
func (b *bench) metrics(ctx context.Context) (rows []row, err error) {
	if b.reconciler == "" {
		return nil, nil
	}
	f, err := b.fleet(scrapedDaemons)
	if err != nil {
		return nil, err
	}
	socket := filepath.Join(b.dir, "scraped.sock")
	l, err := f.keep(ctx, "--listen", "unix:"+socket)
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, l.end(), f.remove(context.WithoutCancel(ctx))) }()
	client := &http.Client{Transport: &http.Transport{DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
		return new(net.Dialer).DialContext(ctx, "unix", socket)
	}}}
	defer client.CloseIdleConnections()
	if err := pause(ctx, quiet); err != nil {
		return nil, err
	}
	if _, _, err := scrape(ctx, client); err != nil { // so that all that runs by now has been read
		return nil, err
	}
	if err := pause(ctx, scrapeEvery); err != nil {
		return nil, err
	}
	var regular, irregular, again, cpu, size figures
	for i := range 2 * scrapes {
		before, err := costOf(l.cmd.Process.Pid)
		began := time.Now()
		took, text, err2 := scrape(ctx, client)
		after, err3 := costOf(l.cmd.Process.Pid)
		if err := errors.Join(err, err2, err3); err != nil {
			return nil, err
		}
		if n := bytes.Count(text, []byte("\nreconciler_daemon_memory_bytes{")); n != scrapedDaemons {
			return nil, fmt.Errorf("scrape %s: it tells the memory of %d daemons, and there are %d", socket, n, scrapedDaemons)
		}
		wait := scrapeEvery
		switch {
		case i >= scrapes: // at no regular times
			irregular.took(took)
			cpu.took(after.cpu - before.cpu)
			wait += time.Duration(i%4) * 1300 * time.Millisecond
		case i > 2: // it is known by then when to expect us
			regular.took(took)
		}
		size.add(float64(len(text)) / 1e6)
		if err := pause(ctx, wait-time.Since(began)); err != nil {
			return nil, err
		}
	}
	for range scrapes {
		took, _, err := scrape(ctx, client)
		if err != nil {
			return nil, err
		}
		again.took(took)
	}
	what := fmt.Sprintf("%s, metrics: a scrape of %d daemons, ", b.driver, scrapedDaemons)
	return []row{
		{what: what + "every 3 s", unit: "ms", ours: regular, bar: 20},
		{what: what + "at no regular time", unit: "ms", ours: irregular, bar: 20},
		{what: what + "CPU until then", unit: "ms", ours: cpu},
		{what: what + "within a second of another", unit: "ms", ours: again, bar: 20},
		{what: what + "what it sends", unit: "MB", ours: size},
	}, nil
}

// scrape asks once, as Prometheus does.
func scrape(ctx context.Context, client *http.Client) (time.Duration, []byte, error) {
	r, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://localhost/metrics", nil)
	if err != nil {
		return 0, nil, err
	}
	r.Header.Set("Accept", "application/openmetrics-text; version=1.0.0")
	began := time.Now()
	resp, err := client.Do(r)
	if err != nil {
		return 0, nil, err
	}
	defer resp.Body.Close()
	text, err := io.ReadAll(resp.Body)
	if err == nil && resp.StatusCode != http.StatusOK {
		err = fmt.Errorf("scrape: %s", resp.Status)
	}
	return time.Since(began), text, err
}
