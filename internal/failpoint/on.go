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

// Hit kills the process with SIGKILL where Env names p, after it wrote p to the file that TraceEnv names.
func Hit(p Point) {
	if file := os.Getenv(TraceEnv); file != "" {
		trace(file, p)
	}
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

// trace appends p to file. It panics where it can't: a test that relies on it must not take silence for an answer.
func trace(file string, p Point) {
	f, err := os.OpenFile(file, os.O_WRONLY|os.O_APPEND|os.O_CREATE, 0o600)
	if err == nil {
		_, err = f.WriteString(string(p) + "\n") // one write, which O_APPEND keeps whole
	}
	if err != nil {
		panic(err)
	}
	f.Close()
}
