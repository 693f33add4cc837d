package labhost

import (
	"context"
	"fmt"
	"os"
	"runtime/debug"

	"reconciler.dev/reconciler/internal/testprog"
)

// builtProgram is the test program, as this process was given it or built in the lab.
func (l *Lab) builtProgram(ctx context.Context) (string, error) {
	if built := os.Getenv(testprogEnv); built != "" {
		return built, nil
	}
	module, err := moduleRoot()
	if err != nil {
		return "", err
	}
	return l.build(ctx, module, "prog", "build", testprog.Package)
}

// machineBinary is this test binary or, where that has the race detector, one of this package that is built like it, but without: that one's memory doesn't fit the
// addresses that User Mode Linux has.
func (l *Lab) machineBinary(ctx context.Context) (string, error) {
	if !raceDetected() {
		return os.Executable()
	}
	dir, err := os.Getwd()
	if err != nil {
		return "", err
	}
	return l.build(ctx, dir, "test", "test", "-c", "-tags="+buildSetting("-tags"), ".")
}

// build has the go command build something into the lab's file system, once.
func (l *Lab) build(ctx context.Context, dir, name, verb string, args ...string) (string, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	path := labDir + "/" + name
	if _, err := os.Stat(l.path(path)); err == nil {
		return path, nil
	}
	build := nsenter(ctx, l.pid, []string{"--mount"}, append([]string{"env", "-C", dir, "CGO_ENABLED=0", "go", verb, "-o", path}, args...)...)
	if out, err := build.CombinedOutput(); err != nil {
		return "", fmt.Errorf("build %s for hosts: %w\n%s", name, err, out)
	}
	return path, nil
}

// raceDetected tells whether this binary has the race detector.
func raceDetected() bool { return buildSetting("-race") == "true" }

// buildSetting is what this binary was built with.
func buildSetting(key string) string {
	if info, ok := debug.ReadBuildInfo(); ok {
		for _, s := range info.Settings {
			if s.Key == key {
				return s.Value
			}
		}
	}
	return ""
}
