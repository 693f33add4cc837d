package spec

import (
	"testing"

	"github.com/google/go-cmp/cmp"
)

const head = "apiVersion: reconciler.dev/v1\nkind: DaemonSpec\nmetadata: {name: web}\nspec:\n  binary: /bin/web\n"

const hostHead = "apiVersion: reconciler.dev/v1\nkind: Host\nmetadata: {name: gpu-1}\nspec:\n"

func TestParseTellsEveryProblemWithItsPlace(t *testing.T) {
	tests := []struct{ name, in, want string }{
		{"unknown field", head + "  argz: []\n", `f.yaml:6:3: spec.argz: unknown field: did you mean "args"?`},
		{"field of another place", head + "  interval: 3s\n", `f.yaml:6:3: spec.interval: unknown field: did you mean spec.health.interval?`},
		{"number for a string", head + "  args: [8080]\n", `f.yaml:6:10: spec.args[0]: want a string, found the number 8080: quote it, "8080"`},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			_, err := Parse("f.yaml", []byte(tt.in))
			if err == nil {
				t.Fatal("no error")
			}
			if diff := cmp.Diff(tt.want, err.Error()); diff != "" {
				t.Error(diff)
			}
		})
	}
}
