package spec

import (
	"net"
	"net/url"
	"strconv"
	"strings"
	"time"
)

func (v *daemonValidator) health() {
	s := &v.m.Spec
	if s.HealthURL != "" {
		v.bad("spec.healthURL", "this is short for health.url, which is given too: leave one out")
	}
	h := s.Health
	if h == nil {
		return
	}
	given := 0
	for _, is := range []bool{h.URL != "", h.TCP != "", len(h.Exec) > 0} {
		if is {
			given++
		}
	}
	if given != 1 {
		v.bad("spec.health", "give exactly one of url, tcp and exec, not %d of them", given)
	}
	v.url("spec.health.url", h.URL)
	v.address("spec.health.tcp", h.TCP)
	if len(h.Exec) > 0 && h.Exec[0] == "" {
		v.bad("spec.health.exec[0]", "the command is empty")
	}
	if h.ExpectStatus != 0 && h.URL == "" {
		v.bad("spec.health.expectStatus", "only a check by url has a status")
	}
	if (h.ExpectHeader != "" || h.ExpectBody != "") && h.URL == "" {
		v.bad("spec.health", "only a check by url has an answer to expect a header or a body of")
	}
	v.httpHeader("spec.health.expectHeader", h.ExpectHeader)
	v.atLeastTime("spec.health.interval", h.Interval, Duration(10*time.Millisecond))
	v.atLeastTime("spec.health.timeout", h.Timeout, Duration(time.Millisecond))
}

func (v *daemonValidator) metrics() {
	if m := v.m.Spec.Metrics; m != nil {
		v.url("spec.metrics.url", m.URL)
	}
}

// url checks the address of an HTTP request, in which references to the host may stand for a part of it.
func (v *validator) url(field, text string) {
	if text == "" {
		return
	}
	u, err := url.Parse(withoutReferences(text))
	if err != nil {
		v.bad(field, "this is not a URL, as in http://localhost:8080/health")
		return
	}
	if _, secret := u.User.Password(); secret {
		v.bad(field, "a password in a URL would be shown and kept in plain text: check another way")
		return
	}
	switch {
	case u.Scheme != "http" && u.Scheme != "https":
		v.bad(field, "%q is not a URL of http or https, as in http://localhost:8080/health", text)
	case u.Hostname() == "":
		v.bad(field, "%q has no host, as in http://localhost:8080/health", text)
	case u.Port() != "" && !isPort(u.Port()) || u.Host[len(u.Host)-1] == ':':
		v.bad(field, "%q has no port that can be: it is a number from 1 to 65535", text)
	}
}

// httpHeader checks NAME: VALUE.
func (v *validator) httpHeader(field, text string) {
	if name, _, ok := strings.Cut(text, ":"); text != "" && (!ok || strings.TrimSpace(name) == "") {
		v.bad(field, "%q is no header: write NAME: VALUE", text)
	}
}

// address checks HOST:PORT.
func (v *validator) address(field, text string) {
	if text == "" {
		return
	}
	if _, port, err := net.SplitHostPort(withoutReferences(text)); err != nil || !isPort(port) {
		v.bad(field, "%q is not an address: write HOST:PORT, as in localhost:6379, with a port from 1 to 65535", text)
	}
}

func isPort(s string) bool {
	n, err := strconv.ParseUint(s, 10, 16)
	return err == nil && n > 0
}
