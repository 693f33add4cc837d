package spec

import (
	"fmt"
	"os"
	"path/filepath"
	"testing"
)

const webManifest = `apiVersion: reconciler.dev/v1
kind: DaemonSpec
metadata:
  name: web-%03d
  labels:
    app: web
    tier: front
spec:
  driver: process
  binary: /usr/bin/sleep
  args: ["infinity"]
  env:
    PORT: "8080"
    MODE: production
  workingDir: /
  health:
    exec: [/bin/true]
    interval: 30s
    timeout: 5s
    failureThreshold: 3
  stop:
    signal: SIGTERM
    gracePeriod: 5s
  restart:
    policy: Always
`

func BenchmarkLoad500(b *testing.B) {
	dir := b.TempDir()
	for i := range 500 {
		if err := os.WriteFile(filepath.Join(dir, fmt.Sprintf("web-%03d.yaml", i)), fmt.Appendf(nil, webManifest, i), 0o644); err != nil {
			b.Fatal(err)
		}
	}
	b.ReportAllocs()
	for b.Loop() {
		ms, err := Load([]string{dir}, LoadOptions{})
		if err != nil {
			b.Fatal(err)
		}
		ds, err := Resolve(ms, ResolveOptions{LookupEnv: os.LookupEnv, Path: os.Getenv("PATH")})
		if err != nil || len(ds) != 500 {
			b.Fatal(err)
		}
	}
}
