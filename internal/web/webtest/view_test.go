package webtest_test

import (
	"testing"

	"reconciler.dev/reconciler/internal/web"
	"reconciler.dev/reconciler/internal/web/webtest"
)

func TestView(t *testing.T) {
	var v web.View = webtest.New(3, 40)
	if h, d := len(v.Hosts()), len(v.Daemons()); h != 3 || d != 120 {
		t.Fatalf("%d hosts with %d daemons", h, d)
	}
	phases := map[string]bool{}
	for _, d := range v.Daemons() {
		phases[d.Phase+" "+d.Word] = true
		u, ok := v.Usage(d.Host, d.Name)
		if !ok || (d.Phase == "Running") != (u.CPU.Usage != nil) {
			t.Errorf("%s on %s is %s and uses %+v", d.Name, d.Host, d.Phase, u)
		}
	}
	for _, want := range []string{"Running Current", "Running InProgress", "Running Failed", "Failed Failed", "Stopped Paused", "Unknown Unknown"} {
		if !phases[want] {
			t.Errorf("no daemon is %s: %v", want, phases)
		}
	}
	if n := len(v.Past("localhost", "worker-1")); n != web.PastPoints {
		t.Errorf("%d points of the past", n)
	}
}
