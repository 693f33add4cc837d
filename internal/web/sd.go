package web

import (
	"cmp"
	"encoding/json"
	"net"
	"net/http"
	"net/url"
	"strings"
)

// discovery answers with the daemons that expose metrics themselves (spec.metrics.url), as Prometheus' HTTP service discovery has it: all of them each time, and [] where there are none. See
// https://prometheus.io/docs/prometheus/latest/http_sd/.
type discovery struct{ view View }

// target is one daemon to be scraped.
type target struct {
	Targets []string          `json:"targets"`
	Labels  map[string]string `json:"labels"`
}

// ServeHTTP answers with the list.
func (d discovery) ServeHTTP(w http.ResponseWriter, _ *http.Request) {
	addresses := map[string]string{}
	for _, h := range d.view.Hosts() {
		addresses[h.Name] = h.Address
	}
	found := []target{}
	for _, one := range d.view.Daemons() {
		if t, ok := targetOf(&one, addresses[one.Host]); ok {
			found = append(found, t)
		}
	}
	w.Header().Set("Content-Type", "application/json")
	_ = json.NewEncoder(w).Encode(found)
}

// targetOf is a daemon as a target. One that isn't there isn't scraped; one that doesn't run is, for that it doesn't answer is what its owner wants to be told.
func targetOf(d *Daemon, address string) (target, bool) {
	if d.Stamp == nil || d.Stamp.Spec.Metrics == nil {
		return target{}, false
	}
	text := d.Stamp.Spec.Metrics.URL
	if d.Stamp.Spec.Slots() {
		text = d.Stamp.Spec.Metrics.InSlot(d.Slot).URL
	}
	u, err := url.Parse(text)
	if err != nil {
		return target{}, false
	}
	t := target{Targets: []string{reachedAt(u, address)}, Labels: map[string]string{
		"host": d.Host, "daemon": d.Name, "__scheme__": u.Scheme, "__metrics_path__": cmp.Or(u.EscapedPath(), "/metrics"),
	}}
	for k, vs := range u.Query() {
		t.Labels["__param_"+k] = vs[0] // Prometheus takes one of each
	}
	for k, v := range d.Stamp.Labels {
		t.Labels["__meta_reconciler_label_"+metaName(k)] = v
	}
	if g := d.Stamp.Spec.Cgroup; g != nil && g.Service != "" {
		t.Labels["__meta_reconciler_service"] = g.Service
	}
	return t, true
}

// reachedAt is where to scrape what a URL says on its own host: an address of that host itself becomes the one at which this machine reaches that host.
func reachedAt(u *url.URL, address string) string {
	host, port := u.Hostname(), u.Port()
	if port == "" {
		port = map[string]string{"http": "80", "https": "443"}[u.Scheme]
	}
	ip := net.ParseIP(host)
	if address != "" && (strings.EqualFold(host, "localhost") || ip != nil && (ip.IsLoopback() || ip.IsUnspecified())) {
		host = address
	}
	return net.JoinHostPort(host, port)
}

// metaName makes a name that a label of Prometheus may have.
func metaName(s string) string {
	return strings.Map(func(r rune) rune {
		if r >= 'a' && r <= 'z' || r >= 'A' && r <= 'Z' || r >= '0' && r <= '9' || r == '_' {
			return r
		}
		return '_'
	}, s)
}
