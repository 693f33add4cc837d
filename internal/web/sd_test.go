package web_test

import (
	"encoding/json"
	"maps"
	"testing"

	"github.com/google/go-cmp/cmp"

	"reconciler.dev/reconciler/internal/web"
	"reconciler.dev/reconciler/internal/web/webtest"
	"reconciler.dev/reconciler/pkg/spec"
)

type sdTarget struct {
	Targets []string          `json:"targets"`
	Labels  map[string]string `json:"labels"`
}

func discovered(t *testing.T, v web.View) (found []sdTarget) {
	t.Helper()
	w := ask(t, v, "/sd", "")
	if got := w.Header().Get("Content-Type"); w.Code != 200 || got != "application/json" {
		t.Fatalf("it answers %d with %s", w.Code, got)
	}
	if err := json.Unmarshal(w.Body.Bytes(), &found); err != nil {
		t.Fatal(err)
	}
	return found
}

// TestDiscovery: a daemon's own address on its host becomes one at which it is reached from here.
func TestDiscovery(t *testing.T) {
	if w := ask(t, webtest.New(1, 5), "/sd", ""); w.Body.String() != "[]\n" {
		t.Errorf("where no daemon exposes metrics it answers %q", w.Body)
	}
	for _, c := range []struct {
		url, address string
		want         string
		labels       map[string]string
	}{
		{"http://localhost:9121/metrics", "", "localhost:9121", map[string]string{"__metrics_path__": "/metrics"}},
		{"http://localhost:9121", "10.0.0.1", "10.0.0.1:9121", map[string]string{"__metrics_path__": "/metrics"}},
		{"http://127.0.0.1:9121/", "gpu.example.com", "gpu.example.com:9121", map[string]string{"__metrics_path__": "/"}},
		{"http://[::1]:9121/m", "fd00::1", "[fd00::1]:9121", map[string]string{"__metrics_path__": "/m"}},
		{"http://0.0.0.0:9121/m", "10.0.0.1", "10.0.0.1:9121", map[string]string{"__metrics_path__": "/m"}},
		{"https://metrics.example.com/m", "10.0.0.1", "metrics.example.com:443", map[string]string{"__metrics_path__": "/m", "__scheme__": "https"}},
		{"http://localhost/m?module=a&module=b", "", "localhost:80", map[string]string{"__metrics_path__": "/m", "__param_module": "a"}},
	} {
		t.Run(c.url+" on "+c.address, func(t *testing.T) {
			v := webtest.New(1, 3)
			v.Put(web.Host{Name: "gpu-1", Address: c.address})
			v.See(web.Daemon{Host: "gpu-1", Observed: spec.Observed{Name: "web", State: spec.Exited, Stamp: &spec.Stamp{
				Metadata: spec.Metadata{Labels: map[string]string{"example.com/app": "shop"}}, Spec: spec.Spec{Metrics: &spec.Metrics{URL: c.url}, Cgroup: &spec.Cgroup{Service: "worker"}},
			}}})
			want := map[string]string{"host": "gpu-1", "daemon": "web", "__scheme__": "http", "__meta_reconciler_label_example_com_app": "shop", "__meta_reconciler_service": "worker"}
			maps.Copy(want, c.labels)
			if diff := cmp.Diff([]sdTarget{{[]string{c.want}, want}}, discovered(t, v)); diff != "" {
				t.Errorf("(-want +got):\n%s", diff)
			}
		})
	}
}

// TestDiscoveryFollowsTheSlot: of two copies it is the one that runs now.
func TestDiscoveryFollowsTheSlot(t *testing.T) {
	v := webtest.New(1, 0)
	s := spec.Spec{Metrics: &spec.Metrics{URL: "http://localhost:912$(SLOT)/"}, Update: &spec.Update{Strategy: spec.UpdateStartFirst}}
	v.See(web.Daemon{Host: "localhost", Observed: spec.Observed{Name: "web", Slot: 1, Stamp: &spec.Stamp{Spec: s}}})
	if got := discovered(t, v)[0].Targets[0]; got != "localhost:9121" {
		t.Errorf("in slot 1 it is %s", got)
	}
}
