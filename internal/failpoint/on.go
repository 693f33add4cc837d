//go:build failpoints

package failpoint

import (
	"os"
	"strconv"
	"strings"
	"sync/atomic"
)

// Enabled says whether this build has failpoints.
const Enabled = true

// passed counts how often the chosen point was passed. It is state of the package because a point is a place in the program, of which there is one.
var passed atomic.Int64

// Hit kills the process with SIGKILL where Env names p.
func Hit(p Point) {
	name, nth, counted := strings.Cut(os.Getenv(Env), ":")
	if name != string(p) {
		return
	}
	n := int64(1)
	if counted {
		n, _ = strconv.ParseInt(nth, 10, 64) // a bad number is 0, which no count reaches: TestEveryPoint would see the survivor
	}
	if passed.Add(1) != n {
		return
	}
	if self, err := os.FindProcess(os.Getpid()); err == nil {
		self.Kill()
	}
	select {} // nothing more is done while the signal is on its way
}
