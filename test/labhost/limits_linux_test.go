package labhost_test

import (
	"os"
	"strings"
	"testing"

	"reconciler.dev/reconciler/test/labhost"
)

// The kernel of a machine has the controllers that this one may lack.
func TestLimits(t *testing.T) {
	for _, kind := range []labhost.Kind{labhost.Limits, labhost.LimitsSystemd} {
		t.Run(string(kind), func(t *testing.T) {
			t.Parallel()
			labhost.Test(t, kind, func(t *testing.T) {
				have, err := os.ReadFile("/sys/fs/cgroup/cgroup.controllers")
				if err != nil {
					t.Fatal(err)
				}
				for _, want := range []string{"cpu", "io", "memory", "pids"} {
					if !strings.Contains(" "+strings.TrimSpace(string(have))+" ", " "+want+" ") {
						t.Errorf("there is no controller %s, only %s", want, have)
					}
				}
			})
		})
	}
}
