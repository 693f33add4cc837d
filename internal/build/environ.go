package build

import (
	"strings"

	"reconciler.dev/reconciler/internal/spawn"
)

// handedOn are the variables of the caller that commands get: where things are, how the network is reached, and who vouches there. Nothing else does, so that a build comes to the same from
// whatever shell or service it is started; what it depends on is said by its manifest, and part of its digest.
func handedOn() []string {
	return []string{
		"PATH", "HOME", "TMPDIR", "TEMP", "TMP", "SystemRoot", "USERPROFILE", "LOCALAPPDATA", "APPDATA", "XDG_CACHE_HOME", "XDG_CONFIG_HOME", "XDG_DATA_HOME", "XDG_STATE_HOME",
		"HTTP_PROXY", "HTTPS_PROXY", "NO_PROXY", "http_proxy", "https_proxy", "no_proxy", "SSL_CERT_FILE", "SSL_CERT_DIR", "SSH_AUTH_SOCK",
	}
}

// Environ is the environment of the commands of an account: its own, and of the caller's what says where things are. account may be nil.
func Environ(account *spawn.Account, lookup func(name string) (string, bool)) map[string]string {
	env := map[string]string{}
	if account != nil {
		for _, kv := range account.Environ() {
			k, v, _ := strings.Cut(kv, "=")
			env[k] = v
		}
	}
	for _, name := range handedOn() {
		if v, ok := lookup(name); ok && v != "" {
			env[name] = v
		}
	}
	return env
}
