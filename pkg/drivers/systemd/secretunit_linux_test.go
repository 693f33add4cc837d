package systemd

import (
	"os"
	"strings"
	"testing"

	"reconciler.dev/reconciler/pkg/spec"
)

// TestAUnitWithSecretsIsForItsOwnerAlone: its stamp has the digest of each, and whoever may read that may try what has the same. What systemd tells everybody, the description,
// has no digest.
func TestAUnitWithSecretsIsForItsOwnerAlone(t *testing.T) {
	s := &spec.Stamp{Metadata: spec.Metadata{Name: "web"}, Digest: "sha256:0123456789abcdef", Generation: 3}
	for _, c := range []struct {
		name     string
		env      map[string]spec.EnvVar
		mode     os.FileMode
		describe string
	}{
		{"none", nil, 0o644, "0123456789ab"},
		{"plain", map[string]spec.EnvVar{"A": {Value: new(string)}}, 0o644, "0123456789ab"},
		{"from a file", map[string]spec.EnvVar{"A": {FromFile: "/etc/key", Digest: "sha256:0"}}, 0o600, ""},
		{"from the environment", map[string]spec.EnvVar{"A": {FromEnv: "KEY", Digest: "sha256:0"}}, 0o600, ""},
	} {
		s.Spec.Env = c.env
		text, err := seal([]byte("[Service]\nExecStart=/bin/true\n"), s)
		if err != nil {
			t.Fatal(err)
		}
		if mode := unitMode(text); mode != c.mode {
			t.Errorf("%s: mode %o, want %o", c.name, mode, c.mode)
		}
		if d := Description(s); strings.Contains(d, "0123") != (c.describe != "") || !strings.Contains(d, c.describe) {
			t.Errorf("%s: description %q", c.name, d)
		}
	}
}
