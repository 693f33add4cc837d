package cgroup

import (
	"encoding/json"
	"errors"
	"fmt"

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

// label is what a leaf says of itself.
type label struct {
	Version int `json:"version"`
	// Run is the directory of the reconciler that made it: one with another one has nothing to do with it.
	Run string `json:"run"`
	process.Mark
}

const (
	labelVersion = 1
	// maxLabel is XATTR_SIZE_MAX, the most that an attribute may hold.
	maxLabel = 64 << 10
)

// encodeLabel writes a label. Where the spec is too large for an attribute, only what tells one spec from another is kept of it: a daemon that is found by that is known, and
// restarted by the next change of its manifest, whatever that is.
func encodeLabel(run string, m *process.Mark) ([]byte, error) {
	l := label{labelVersion, run, *m}
	data, err := json.Marshal(l)
	if err == nil && len(data) > maxLabel {
		short := *m.Stamp
		short.Labels, short.Annotations = nil, nil
		short.Spec = spec.Spec{Driver: m.Stamp.Spec.Driver, Cgroup: m.Stamp.Spec.Cgroup, Stop: m.Stamp.Spec.Stop, Restart: m.Stamp.Spec.Restart}
		l.Stamp = &short
		data, err = json.Marshal(l)
	}
	if err != nil {
		return nil, fmt.Errorf("mark the cgroup of daemon %s: %w", m.Stamp.Name, err)
	}
	return data, nil
}

// decodeLabel reads one. A label that nobody of ours can have written is an error.
func decodeLabel(data []byte) (*label, error) {
	l := &label{}
	if err := json.Unmarshal(data, l); err != nil {
		return nil, err
	}
	switch {
	case l.Version != labelVersion:
		return nil, fmt.Errorf("it has version %d, and this reconciler knows version %d", l.Version, labelVersion)
	case l.Stamp == nil || l.Instance == nil || l.Stamp.Name == "" || l.Instance.ID == "":
		return nil, errors.New("it is incomplete")
	}
	return l, nil
}

// errUnmarked is what looking for the label of a cgroup without one gives.
var errUnmarked = errors.New("it isn't marked as ours")

// readLabel returns the label of a group, a directory. The error wraps errUnmarked where it has none, and unix.ENOENT where there is no such group.
func readLabel(dir string) (*label, error) {
	for size := 4 << 10; ; size = maxLabel {
		buf := make([]byte, size)
		n, err := unix.Getxattr(dir, attrLeaf, buf)
		switch {
		case err == unix.ERANGE && size < maxLabel:
			continue
		case err == unix.ENODATA:
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
func (l *label) of(run, name string) bool { return l.Run == run && l.Stamp.Name == name }

// who says in words whose the label is.
func (l *label) who(run string) string {
	if l.Run == run {
		return "of daemon " + l.Stamp.Name
	}
	return fmt.Sprintf("of daemon %s of another reconciler, which keeps %s", l.Stamp.Name, l.Run)
}
