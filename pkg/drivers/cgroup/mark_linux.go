package cgroup

import (
	"encoding/json"
	"errors"
	"fmt"
	"strconv"
	"strings"

	"golang.org/x/sys/unix"

	"reconciler.dev/reconciler/pkg/drivers/process"
	"reconciler.dev/reconciler/pkg/spec"
)

// The extended attributes by which a cgroup is ours: see xattr(7). Only those who may read the directory can read them, and it has mode 0711, so nobody else sees a daemon's
// environment; while the daemon, whoever it runs as, can read its limits.
const (
	// attrLeaf is on a leaf: a label.
	attrLeaf = "user.reconciler"
	// attrParent is on a group that was made to have leaves in it.
	attrParent = "user.reconciler.parent"
	ownerOnly  = 0o711
)

// label is what a leaf says of itself: its header, in four lines, and then the mark as JSON.
type label struct {
	// run is the directory of the reconciler that made it: one with another one has nothing to do with it.
	run string
	// name is the daemon's, id the instance's.
	name, id string
	mark     []byte
}

const (
	labelVersion = "1"
	// maxLabel is XATTR_SIZE_MAX, the most that an attribute may hold.
	maxLabel = 64 << 10
)

// encodeLabel writes a label. Where the spec is too large for an attribute, only what tells one spec from another is kept of it: a daemon that is found by that is known, and
// restarted by the next change of its manifest, whatever that is.
func encodeLabel(run string, m *process.Mark) ([]byte, error) {
	head := fmt.Sprintf("%s\n%q\n%s\n%s\n", labelVersion, run, m.Stamp.Name, m.Instance.ID)
	data, err := json.Marshal(m)
	if err == nil && len(head)+len(data) > maxLabel {
		short := *m.Stamp
		short.Labels, short.Annotations = nil, nil
		short.Spec = spec.Spec{Driver: m.Stamp.Spec.Driver, Cgroup: m.Stamp.Spec.Cgroup, Stop: m.Stamp.Spec.Stop, Restart: m.Stamp.Spec.Restart}
		data, err = json.Marshal(&process.Mark{Stamp: &short, Instance: m.Instance})
	}
	if err != nil {
		return nil, fmt.Errorf("mark the cgroup of daemon %s: %w", m.Stamp.Name, err)
	}
	return append([]byte(head), data...), nil
}

// decodeLabel reads one. A label that nobody of ours can have written is an error.
func decodeLabel(data []byte) (*label, error) {
	part := strings.SplitN(string(data), "\n", 5)
	if part[0] != labelVersion {
		return nil, fmt.Errorf("it has version %q, and this reconciler knows version %s", part[0], labelVersion)
	}
	if len(part) != 5 || part[2] == "" || part[3] == "" {
		return nil, errors.New("it is incomplete")
	}
	run, err := strconv.Unquote(part[1])
	if err != nil {
		return nil, fmt.Errorf("%s is no directory: %w", part[1], err)
	}
	return &label{run, part[2], part[3], []byte(part[4])}, nil
}

// decode reads the mark.
func (l *label) decode() (*process.Mark, error) {
	m := &process.Mark{}
	if err := json.Unmarshal(l.mark, m); err != nil {
		return nil, err
	}
	if m.Stamp == nil || m.Instance == nil || m.Stamp.Name != l.name || m.Instance.ID != l.id {
		return nil, errors.New("it contradicts itself")
	}
	return m, nil
}

// errUnmarked is what looking for the label of a cgroup without one gives.
var errUnmarked = errors.New("it isn't marked as ours")

// readLabel returns the label of a group, a directory. The error wraps errUnmarked where it has none, and unix.ENOENT where there is no such group.
func readLabel(dir string) (*label, error) {
	for size := 4 << 10; ; size = maxLabel {
		buf := make([]byte, size)
		n, err := unix.Getxattr(dir, attrLeaf, buf)
		switch {
		case errors.Is(err, unix.ERANGE) && size < maxLabel:
			continue
		case errors.Is(err, unix.ENODATA):
			return nil, errUnmarked
		case err != nil:
			return nil, err
		}
		l, err := decodeLabel(buf[:n])
		if err != nil {
			return nil, fmt.Errorf("its attribute %s makes no sense: %w", attrLeaf, err)
		}
		return l, nil
	}
}

// of tells whether the label is that of a daemon of the reconciler that keeps run.
func (l *label) of(run, name string) bool { return l.run == run && l.name == name }

// who says in words whose the label is.
func (l *label) who(run string) string {
	if l.run == run {
		return "of daemon " + l.name
	}
	return fmt.Sprintf("of daemon %s of another reconciler, which keeps %s", l.name, l.run)
}
