package e2e

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
)

// adoption is an operation that takes over what runs already. However it is cut off, the daemon lives on, as the one process that it is: it isn't ours, or it is.
func adoption() operation {
	return operation{
		name: "adoption",
		before: func(s *scene) {
			s.web.args, s.web.spec = nil, without(s.web.spec, "  files:", "  reload:")
			s.web.declare()
			s.startByHand()
		},
		command: func(s *scene) []string {
			from := fmt.Sprintf("pid=%d", s.byHand)
			if s.drivers == "systemd" {
				from = "unit=" + s.web.name
			}
			args := []string{"adopt", s.web.name, "-f", s.path("manifests"), "--yes", "--from", from}
			if s.set != "" {
				args = append(args, "--set="+s.set)
			}
			return args
		},
		after: func(s *scene) {
			if now := s.web.pid(); now != s.byHand || s.web.starts() != 1 {
				s.t.Errorf("process %d was taken over, and it is process %d, started %d times", s.byHand, now, s.web.starts())
			}
			s.settled(s.web.name)
		},
	}
}

// startByHand starts web as somebody does who knows nothing of reconciler: as a unit where systemd is, else as a process in the background.
func (s *scene) startByHand() {
	s.t.Helper()
	args := []string{"-name=" + s.web.name, "-dir=" + s.dir}
	if s.drivers == "systemd" {
		unit := fmt.Sprintf("[Service]\nExecStart=%s %s\nLimitRSS=%d:infinity\n", witness(s.t), strings.Join(args, " "), s.mark)
		s.try(os.WriteFile(filepath.Join("/etc/systemd/system", s.web.name+".service"), []byte(unit), 0o644))
		s.try(exec.Command("systemctl", "daemon-reload").Run())
		s.try(exec.Command("systemctl", "start", s.web.name).Run())
	} else {
		cmd := s.mark.command(witness(s.t), args...)
		cmd.Dir, cmd.SysProcAttr = "/", &syscall.SysProcAttr{Setsid: true}
		s.try(cmd.Start())
		go func() { _ = cmd.Wait() }() // that it was killed in the end is no error
	}
	s.eventually("what was started by hand has come to its own code", func() bool {
		c := s.web.copies()
		if len(c) == 1 {
			s.byHand = c[0].pid
		}
		return len(c) == 1 && s.web.started(s.byHand)
	})
}

func (s *scene) try(err error) {
	s.t.Helper()
	if err != nil {
		s.t.Fatal(err)
	}
}
