package process

import (
	"os"
	"os/exec"
	"testing"

	"syscall"

	"reconciler.dev/reconciler/internal/procfs"
	"reconciler.dev/reconciler/pkg/spec"
)

// TestAStrangerMayNotStandForADaemon: everybody can read a daemon's tag, and give it to a process of their own.
func TestAStrangerMayNotStandForADaemon(t *testing.T) {
	stranger, late := uint32(os.Getuid()), uint64(settling+1)
	cmd := exec.Command("sleep", "1000")
	if stranger == 0 {
		stranger = 65533
		cmd.SysProcAttr = &syscall.SysProcAttr{Credential: &syscall.Credential{Uid: stranger, Gid: stranger}}
	}
	owner := stranger + 1
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	defer func() {
		_ = cmd.Process.Kill()
		_ = cmd.Wait()
	}()
	st, err := procfs.ReadStat(cmd.Process.Pid)
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		name  string
		i     spec.Instance
		owner uint32
		want  bool
	}{
		{"somebody else's, where the daemon has its own user", spec.Instance{PID: 1, StartTicks: st.Start}, owner, false},
		{"that of the daemon's user", spec.Instance{PID: 1, StartTicks: st.Start}, stranger, true},
		{"without root's rights, begun long after root's daemon", spec.Instance{PID: 1, StartTicks: st.Start - late}, 0, false},
		{"without root's rights, begun with root's daemon", spec.Instance{PID: 1, StartTicks: st.Start}, 0, true},
		{"without root's rights, in the session of root's daemon", spec.Instance{PID: st.Session, StartTicks: st.Start - late}, 0, true},
	} {
		t.Run(c.name, func(t *testing.T) {
			if got, err := mayStandFor(&c.i, c.owner, st); err != nil || got != c.want {
				t.Errorf("got %v, %v, want %v", got, err, c.want)
			}
		})
	}
	if got, err := mayStandFor(&spec.Instance{PID: 1, StartTicks: st.Start - late}, 0, procfs.Stat{PID: 1, Start: st.Start}); err != nil || !got {
		t.Errorf("a process of root's: %v, %v", got, err)
	}
	if got, err := mayStandFor(&spec.Instance{}, 0, procfs.Stat{PID: 1 << 29, PPID: 1}); err != nil || got {
		t.Errorf("a process that is gone: %v, %v", got, err)
	}
}
