package systemd

import (
	"context"
	"os"
	"testing"

	"reconciler.dev/reconciler/internal/spawn"
	"reconciler.dev/reconciler/test/labhost"
)

func TestMain(m *testing.M) {
	if status, called := Tool(context.Background(), os.Args, os.Stderr); called {
		os.Exit(status)
	}
	spawn.Main()
	labhost.Main(m)
}
