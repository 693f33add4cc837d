package drivers

import (
	osuser "os/user"
	"slices"
	"strconv"
	"time"
	"unicode/utf8"

	"reconciler.dev/reconciler/internal/procfs"
)

const (
	// maxWords and maxWord bound what is told of a stranger's command.
	maxWords, maxWord = 64, 1 << 10
)

// Describe fills in what its processes say of a stranger. Those that have ended meanwhile are left out.
func (s *Stranger) Describe() {
	var first procfs.Stat
	s.PIDs = slices.DeleteFunc(slices.Sorted(slices.Values(s.PIDs)), func(pid int) bool {
		st, err := procfs.ReadStat(pid)
		if err != nil || st.Dead() {
			return true
		}
		if first.PID == 0 || st.Start < first.Start {
			first = st
		}
		return false
	})
	if first.PID == 0 {
		return
	}
	s.Since = time.Now().Add(-procfs.Age(first.Start))
	if words, err := procfs.CommandLine(first.PID); err == nil {
		s.Command = words[:min(len(words), maxWords)]
		for i, w := range s.Command {
			if len(w) > maxWord {
				s.Command[i] = w[:maxWord] + "…"
			}
			if !utf8.ValidString(s.Command[i]) {
				s.Command[i] = strconv.QuoteToASCII(s.Command[i])
			}
		}
	}
	if _, uid, err := procfs.ReadUIDs(first.PID); err == nil {
		s.User = strconv.Itoa(int(uid))
		if u, err := osuser.LookupId(s.User); err == nil {
			s.User = u.Username
		}
	}
}
