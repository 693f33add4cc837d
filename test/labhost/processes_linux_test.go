package labhost

import (
	"bufio"
	"errors"
	"slices"
	"strconv"
	"strings"
	"testing"

	"golang.org/x/sys/unix"
)

// Processes are those of the host, with the numbers that they have there, and can be signalled from outside, also while the host hangs.
func TestProcesses(t *testing.T) {
	for _, kind := range []Kind{Systemd, Cgroup, Bare} {
		t.Run(string(kind), func(t *testing.T) {
			t.Parallel()
			h := Start(t, kind)
			cmd := h.Command(t.Context(), "sh", "-c", "echo $$; exec sleep 1000100")
			out, err := cmd.StdoutPipe()
			if err != nil {
				t.Fatal(err)
			}
			if err := cmd.Start(); err != nil {
				t.Fatal(err)
			}
			number, err := bufio.NewReader(out).ReadString('\n')
			if err != nil {
				t.Fatal(err)
			}
			find := func() (p Process, found bool) {
				all, err := h.Processes()
				if err != nil {
					t.Fatal(err)
				}
				if len(all) == 0 || all[0].PID != 1 {
					t.Errorf("there is no process 1: %v", all)
				}
				if i := slices.IndexFunc(all, func(p Process) bool { return slices.Equal(p.Args, []string{"sleep", "1000100"}) }); i >= 0 {
					return all[i], true
				}
				return p, false
			}
			var sleeps Process
			for found := false; !found; { // the shell has become it an instant after it spoke
				sleeps, found = find()
			}
			if strconv.Itoa(sleeps.PID) != strings.TrimSpace(number) || sleeps.User != 0 {
				t.Errorf("it is %v of user %d, and says that it is %s", sleeps, sleeps.User, number)
			}
			other := sleeps
			other.Args = []string{"sleep", "1000101"}
			if err := h.Signal(other, unix.SIGKILL); !errors.Is(err, unix.ESRCH) {
				t.Errorf("a process that isn't there was signalled: %v", err)
			}
			if err := h.Signal(sleeps, unix.SIGKILL); err != nil {
				t.Fatal(err)
			}
			if err := cmd.Wait(); err == nil {
				t.Error("it wasn't killed")
			}
			if p, found := find(); found {
				t.Errorf("killed, and there: %v", p)
			}
		})
	}
}
