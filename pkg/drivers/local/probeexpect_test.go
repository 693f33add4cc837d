package local

import (
	"fmt"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"reconciler.dev/reconciler/pkg/drivers/driverstest"
	"reconciler.dev/reconciler/pkg/spec"
)

func TestACheckExpectsAHeaderAndABody(t *testing.T) {
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("X-Version", "2")
		fmt.Fprint(w, "config: two\x1b[31m")
	}))
	defer server.Close()
	for _, c := range []struct{ name, header, body, says string }{
		{"both are there", "x-version: 2", "config: two", ""},
		{"the header's name has any case, and its value none but its own", "X-VERSION:2", "", ""},
		{"another value", "X-Version: 3", "", `want header X-Version: 3, have ["2"]`},
		{"no such header", "X-Other: 2", "", `want header X-Other: 2, have []`},
		{"another body", "", "config: three", `want "config: three" in the body: config: two`},
	} {
		t.Run(c.name, func(t *testing.T) {
			check := spec.Health{URL: server.URL, Timeout: spec.Duration(5 * time.Second), ExpectHeader: c.header, ExpectBody: c.body}
			err := hostWith(t, driverstest.NewFake(), spec.Spec{}).Probe(t.Context(), "web", check)
			switch {
			case c.says == "" && err != nil:
				t.Error(err)
			case c.says != "" && (err == nil || !strings.Contains(err.Error(), c.says) || strings.Contains(err.Error(), "\x1b")):
				t.Errorf("got %v, want %q and no escapes", err, c.says)
			}
		})
	}
}
