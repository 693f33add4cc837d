// Command reconciler is kubectl for plain daemons: it makes the daemons of a machine what their manifests say, and keeps them so.
//
// It is one file a verb over pkg/reconcile, and the only place where drivers, host and engine are wired together. It decides nothing about daemons: it reads the
// command line, calls, prints, and turns errors into exit codes. Results go to stdout, everything else to stderr, and what a manifest or a daemon wrote is
// made harmless before a terminal sees it.
package main

import (
	"os"
	"runtime/debug"
	"slices"

	"reconciler.dev/reconciler/internal/sockets"
	"reconciler.dev/reconciler/internal/spawn"
	"reconciler.dev/reconciler/pkg/drivers/systemd"
)

func main() {
	spawn.Main()
	ctx, stop := untilSignal()
	if status, called := systemd.Tool(ctx, os.Args, os.Stderr); called {
		os.Exit(status)
	}
	if status, called := sockets.Main(ctx, os.Args, os.Stdout); called {
		os.Exit(status)
	}
	setUmask()
	if os.Getenv("GOGC") == "" && !slices.Contains(os.Args, "run") && !slices.Contains(os.Args, "agent") {
		debug.SetGCPercent(800) // a command that ends soon need not tidy up, not even with hundreds of daemons; runs and agents stay, and stay small
	}
	code := run(ctx, os.Args[1:], os.Stdin, os.Stdout, os.Stderr, os.Getenv)
	stop()
	os.Exit(code)
}
