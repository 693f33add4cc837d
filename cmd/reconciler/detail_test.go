package main

import (
	"encoding/json"
	"errors"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"reconciler.dev/reconciler/pkg/reconcile"
	"reconciler.dev/reconciler/pkg/spec"
)

// What can't be found out is never shown as if there were none, and of what has ended it is known that there is none.
func TestDetailUnknownIsNotEmpty(t *testing.T) {
	up := spec.Observed{Name: "web", State: spec.Running, Instance: &spec.Instance{ID: "i2", PID: 20}}
	listens := []spec.Port{{Network: "tcp", Address: "127.0.0.1", Port: 80, PID: 21}}
	for _, c := range []struct {
		name        string
		o           spec.Observed
		s           spec.Sample
		failed      error
		pids, ports string
		why         string
	}{
		{name: "it runs", o: up, s: spec.Sample{State: spec.Running, Instance: "i2", PIDs: []int{3, 20, 21}, Ports: listens}, pids: "20,3,21", ports: "127.0.0.1:80"},
		{name: "it listens nowhere", o: up, s: spec.Sample{State: spec.Running, Instance: "i2", PIDs: []int{20}, Ports: []spec.Port{}}, pids: "20"},
		{name: "its sockets can't be seen", o: up, pids: "20", ports: "?", why: "permission denied",
			s: spec.Sample{State: spec.Running, Instance: "i2", PIDs: []int{20}, Missing: []spec.Loss{{Field: "memory.peak", Reason: "x"}, {Field: "ports", Reason: "permission denied"}}}},
		{name: "an agent that doesn't tell", o: up, s: spec.Sample{State: spec.Running, Instance: "i2", PIDs: []int{20}}, pids: "20", ports: "?", why: "the host doesn't tell"},
		{name: "another instance by now", o: up, s: spec.Sample{State: spec.Running, Instance: "i3", PIDs: []int{30}, Ports: listens}, pids: "?", ports: "?", why: "while it was looked at"},
		{name: "ended by now", o: up, s: spec.Sample{State: spec.Exited, Instance: "i2"}, pids: "?", ports: "?", why: "while it was looked at"},
		{name: "the link is lost", o: up, failed: errors.New("no sign of life"), pids: "?", ports: "?", why: "no sign of life"},
		{name: "it can't be looked at", o: spec.Observed{State: spec.Unknown, Message: "permission denied"}, pids: "?", ports: "?", why: "permission denied"},
		{name: "the driver can't look", o: up, s: spec.Sample{State: spec.Unknown, Message: "no bus"}, pids: "?", ports: "?", why: "no bus"},
		{name: "it has ended", o: spec.Observed{State: spec.Exited}},
		{name: "it isn't there", o: spec.Observed{State: spec.Absent}},
	} {
		d := detailOf(c.o, c.s, c.failed)
		row := wideRow(reconcile.View{Observed: c.o}, d)
		if row[0] != c.pids || row[1] != c.ports {
			t.Errorf("%s: PIDs %q, ports %q", c.name, row[0], row[1])
		}
		var st status
		st.tell(d)
		b, err := json.Marshal(st)
		if err != nil {
			t.Fatal(err)
		}
		if said := strings.Contains(string(b), `"ports":`); said == (c.ports == "?") || !strings.Contains(string(b), c.why) || c.why == "" != (st.Missing == nil) {
			t.Errorf("%s: %s", c.name, b)
		}
	}
}

func TestWideCells(t *testing.T) {
	digest := strings.Repeat("0123456789abcdef", 4)
	for path, want := range map[string]string{
		"/var/lib/reconciler/bin/" + digest + "/web": "web@0123456789ab",
		"/usr/bin/web":                "/usr/bin/web",
		"/opt/" + digest[1:] + "/web": "/opt/" + digest[1:] + "/web",
		"":                            "",
	} {
		if got := binaryWord(path); got != want {
			t.Errorf("%q: %q", path, got)
		}
	}
	ports := []spec.Port{
		{Network: "tcp", Address: "0.0.0.0", Port: 80}, {Network: "tcp6", Address: "::", Port: 80}, {Network: "udp", Address: "10.0.0.1", Port: 53},
		{Network: "tcp6", Address: "::1", Port: 81}, {Network: "tcp", Address: "127.0.0.1", Port: 82}, {Network: "tcp", Address: "127.0.0.1", Port: 83},
	}
	if got, want := cellOf(portWords(ports), strings.Clone), "*:80,10.0.0.1:53/udp,[::1]:81,127.0.0.1:82+1"; got != want {
		t.Errorf("%s, want %s", got, want)
	}
	one := 3
	for want, e := range map[string]*lastExit{"": nil, "3": {Code: &one}, "SIGKILL": {Signal: "SIGKILL", Reason: exitFailed}, "OOMKilled": {Signal: "SIGKILL", Reason: exitOOM}, "?": {Reason: exitUnknown}} {
		if got := exitWord(e); got != want {
			t.Errorf("%+v: %q, want %q", e, got, want)
		}
	}
	if service, instance := placeNames("web", &spec.Cgroup{Service: "worker", Instance: "0"}); service != "worker" || instance != "0" {
		t.Error(service, instance)
	}
}

// What an agent says of a daemon reaches the terminal as text.
func TestWideRowIsCleaned(t *testing.T) {
	o := spec.Observed{Name: "web", State: spec.Running, Cgroup: "/a\x1b[31m", Instance: &spec.Instance{ID: "i", PID: 1}}
	s := spec.Sample{State: spec.Running, Instance: "i", PIDs: []int{1}, Ports: []spec.Port{{Network: "tcp", Address: "\x1b]0;x\a", Port: 1}}}
	var b strings.Builder
	f := getFlags{out: &format{enum: enum{value: "wide"}}}
	table := newGetTable(&b, f, false)
	table.add("localhost", reconcile.View{Observed: o}, detailOf(o, s, nil))
	if err := table.flush(); err != nil {
		t.Fatal(err)
	}
	if strings.ContainsAny(b.String(), "\x1b\a") {
		t.Errorf("%q", b.String())
	}
	if d := cmp.Diff(1, strings.Count(b.String(), `/a\x1b[31m`)); d != "" {
		t.Errorf("%q", b.String())
	}
}
