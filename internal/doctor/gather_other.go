//go:build !linux

package doctor

import (
	"os"
	"runtime"
	"time"

	"reconciler.dev/reconciler/internal/layout"
)

// Gather says what machine this is; there is nothing else to say where no daemon can run.
func Gather(layout.Dirs) Facts {
	return Facts{UID: os.Geteuid(), Platform: Platform{OS: runtime.GOOS, Arch: runtime.GOARCH}, Clock: Clock{Now: time.Now()}}
}
