package systemd

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"strconv"
	"strings"
	"time"

	"golang.org/x/sys/unix"

	"reconciler.dev/reconciler/internal/plaintext"
	"reconciler.dev/reconciler/internal/spawn"
	"reconciler.dev/reconciler/pkg/drivers"
	"reconciler.dev/reconciler/pkg/spec"
)

// Logs copies what a daemon wrote to the journal, as it wrote it. One whose spec names a log file writes there.
func (d *Driver) Logs(ctx context.Context, name string, w io.Writer, o drivers.LogOptions) (handled bool, err error) {
	finds, err := d.locate([]string{name})
	if err != nil {
		return false, err
	}
	f := finds[0]
	if !f.ours() || f.stamp().Spec.Log.Path != "" {
		return false, nil
	}
	args := []string{"--no-pager", "--quiet", "--output=cat"}
	if o.Tail >= 0 {
		args = append(args, "--lines="+strconv.Itoa(o.Tail))
	} else {
		args = append(args, "--lines=all")
	}
	if !o.Since.IsZero() {
		args = append(args, "--since=@"+strconv.FormatFloat(float64(o.Since.UnixMicro())/1e6, 'f', 6, 64))
	}
	units := unitsOf(f.unit, f.stamp())
	if o.Later {
		units = []string{f.unit}
	}
	matches := d.matches(units...)
	switch {
	case o.Previous:
		id, err := d.previous(ctx, f)
		if err != nil {
			return true, err
		}
		matches = append(matches, "_SYSTEMD_INVOCATION_ID="+id)
	case o.Follow:
		args = append(args, "--follow")
	}
	return true, d.journal(ctx, w, append(args, matches...)...)
}

// LogPlace is the command that shows what a daemon wrote.
func (d *Driver) LogPlace(s *spec.Stamp) string {
	which := strings.Join(unitsOf(spec.UnitName(s.Name, s.Spec.Cgroup), s), " -u ")
	switch {
	case s.Spec.Log.Path != "":
		return ""
	case d.scope.user:
		return "the journal (journalctl --user -u " + which + ")"
	default:
		return "the journal (journalctl -u " + which + ")"
	}
}

// unitsOf are all units that a daemon's lines are from: unit, and of one that is updated by a second copy the units of both slots, for they take turns.
func unitsOf(unit string, s *spec.Stamp) []string {
	applied, name := s.Spec, s.Name
	if s.Slot != nil {
		applied = s.Slot.Spec
		name, _ = spec.LogicalName(name)
	}
	if !applied.Slots() {
		return []string{unit}
	}
	return []string{spec.UnitName(name, applied.Cgroup), spec.UnitName(spec.SecondName(name), applied.InSlot(1).Cgroup)}
}

// matches select what the processes of units wrote, to stdout, stderr or syslog, and not what systemd says about it or, before it becomes the program, in its name:
// systemd.journal-fields(7). Of one field any value matches.
func (d *Driver) matches(units ...string) []string {
	which, field := []string{"_TRANSPORT=stdout", "_TRANSPORT=syslog"}, "_SYSTEMD_UNIT="
	if d.scope.user {
		which, field = append(which, "_UID="+strconv.Itoa(os.Geteuid())), "_SYSTEMD_USER_UNIT="
	}
	for _, u := range units {
		which = append(which, field+u)
	}
	return which
}

// errEnough ends the reading of a journal.
var errEnough = errors.New("enough was read")

// previous is the invocation before the current or last one, as the journal tells: that of the newest line that isn't of this one.
func (d *Driver) previous(ctx context.Context, f *finding) (string, error) {
	current := d.invocation(f.unit)
	if current == "" {
		current = f.noted().id()
	}
	find := &lineWriter{}
	var found string
	find.line = func(line []byte) error {
		var entry struct {
			ID string `json:"_SYSTEMD_INVOCATION_ID"`
		}
		if json.Unmarshal(line, &entry) != nil || entry.ID == "" {
			return nil
		}
		if current == "" {
			current = entry.ID // nothing runs: the newest line is of the last one
		}
		if entry.ID == current {
			return nil
		}
		found = entry.ID
		return errEnough
	}
	args := append([]string{"--no-pager", "--quiet", "--reverse", "--output=json", "--output-fields=_SYSTEMD_INVOCATION_ID"}, d.matches(unitsOf(f.unit, f.stamp())...)...)
	if err := d.journal(ctx, find, args...); err != nil && !errors.Is(err, errEnough) {
		return "", err
	}
	if found == "" {
		return "", fmt.Errorf("the journal has nothing of an instance before this one: %w", drivers.ErrNotFound)
	}
	return found, nil
}

// lineWriter calls line with each line that is written.
type lineWriter struct {
	line func([]byte) error
	rest []byte
}

func (w *lineWriter) Write(p []byte) (int, error) {
	w.rest = append(w.rest, p...)
	for {
		line, rest, whole := bytes.Cut(w.rest, []byte("\n"))
		if !whole {
			return len(p), nil
		}
		if err := w.line(line); err != nil {
			return 0, err
		}
		w.rest = rest
	}
}

// journal runs journalctl(1).
func (d *Driver) journal(ctx context.Context, w io.Writer, args ...string) error {
	path := ""
	for _, p := range []string{"/usr/bin/journalctl", "/bin/journalctl"} {
		if unix.Access(p, unix.X_OK) == nil {
			path = p
			break
		}
	}
	if path == "" {
		return fmt.Errorf("read the journal: this machine has no /usr/bin/journalctl: %w", drivers.ErrUnsupported)
	}
	s, err := d.spawner()
	if err != nil {
		return err
	}
	env := append(d.own.Environ(), "SYSTEMD_COLORS=0", "SYSTEMD_PAGER=")
	err = s.Stream(ctx, spawn.Cmd{Path: path, Args: append([]string{path}, args...), Env: env, Dir: "/", Umask: 0o022}, w)
	if err != nil && d.scope.user && strings.Contains(err.Error(), "insufficient permissions") {
		return fmt.Errorf("%w; a journal that is kept in memory alone is for those in the group systemd-journal: as root, usermod -aG systemd-journal %s, or mkdir -p /var/log/journal && journalctl --flush to keep one for each user; or "+
			"have the daemon write to a file, with spec.log.path", err, d.own.Name)
	}
	return err
}

// journalTail are the last lines that systemd and the daemon wrote of an invocation.
func (d *Driver) journalTail(ctx context.Context, unit, invocation string, n int) ([]string, error) {
	if invocation == "" {
		return nil, nil
	}
	ctx, cancel := context.WithTimeout(ctx, journalLimit)
	defer cancel()
	var out bytes.Buffer
	of := "INVOCATION_ID=" + invocation
	if d.scope.user {
		of = "USER_INVOCATION_ID=" + invocation
	}
	err := d.journal(ctx, &out, "--no-pager", "--quiet", "--output=cat", "--lines="+strconv.Itoa(n), "_SYSTEMD_INVOCATION_ID="+invocation, "+", of)
	var lines []string
	for line := range strings.Lines(out.String()) {
		if line = strings.TrimSpace(plaintext.Line(line, 200)); line != "" {
			lines = append(lines, line)
		}
	}
	return lines, err
}

// journalLimit is how long a failed start waits for what the journal says of it.
const journalLimit = 2 * time.Second
