package process

import (
	"encoding/json"
	"errors"
	"fmt"
	"strconv"
	"time"

	"reconciler.dev/reconciler/internal/procfs"
	"reconciler.dev/reconciler/pkg/spec"
)

// record is all that is remembered of a daemon, in one file. It isn't changed once it was read or written: those who change something make a copy.
type record struct {
	Version int    `json:"version"`
	Name    string `json:"name"`
	// Stamp is nil only while the first start is under way.
	Stamp *spec.Stamp `json:"stamp,omitempty"`
	// Instance is the running one or the last one. Its ID is its tag; its Exit says that it ended.
	Instance *spec.Instance `json:"instance,omitempty"`
	// Place is where the instance's tree is held, as Trees have it.
	Place string `json:"place,omitempty"`
	// Ended is when the instance ended, on the clock since boot.
	Ended time.Duration `json:"ended,omitempty"`
	// Gone says that no process of the ended instance's tree is left: nothing can carry its tag ever again.
	Gone bool `json:"gone,omitempty"`
	// Intent is a start that is under way, or was cut off.
	Intent *intent `json:"intent,omitempty"`
	// Asked says that the instance was asked to end.
	Asked bool `json:"asked,omitempty"`
	// By is the process that is starting or stopping the daemon; it may have died over it.
	By *actor `json:"by,omitempty"`
}

// intent is what a record will say once the start has succeeded.
type intent struct {
	Stamp    *spec.Stamp    `json:"stamp"`
	Instance *spec.Instance `json:"instance"`
	Place    string         `json:"place,omitempty"`
}

// actor is a process of ours.
type actor struct {
	PID        int    `json:"pid"`
	StartTicks uint64 `json:"startTicks"`
	BootID     string `json:"bootID"`
}

const (
	recordVersion = 1
	// maxRecord bounds what is read. A spec with this much in it is refused by the loader.
	maxRecord = 4 << 20
	// maxPID is PID_MAX_LIMIT, the most that a kernel can be set to.
	maxPID = 1 << 22
)

// id writes a tag as the ID of an instance.
func id(t procfs.Tag) string { return fmt.Sprintf("%016x", uint64(t)) }

// tag is that of an instance; 0 is none.
func tag(i *spec.Instance) procfs.Tag { return tagOf(i.ID) }

// tagOf reads a tag back; 0 is none.
func tagOf(id string) procfs.Tag {
	if len(id) != 16 {
		return 0
	}
	v, err := strconv.ParseUint(id, 16, 64)
	if err != nil {
		return 0
	}
	return procfs.Tag(v)
}

func (r *record) encode() ([]byte, error) {
	r.Version = recordVersion
	data, err := json.Marshal(r)
	if err != nil {
		return nil, fmt.Errorf("encode the record of daemon %s: %w", r.Name, err)
	}
	return data, nil
}

// decode reads a record and makes sure that nothing in it could lead a signal astray.
func decode(name string, data []byte) (*record, error) {
	r := &record{}
	if err := json.Unmarshal(data, r); err != nil {
		return nil, err
	}
	switch {
	case r.Version != recordVersion:
		return nil, fmt.Errorf("it has version %d, and this reconciler knows version %d: use the newer one", r.Version, recordVersion)
	case r.Name != name:
		return nil, fmt.Errorf("it is of daemon %q", r.Name)
	case r.Stamp == nil && r.Intent == nil:
		return nil, errors.New("it has no stamp")
	case r.Stamp != nil && r.Stamp.Name != name:
		return nil, fmt.Errorf("its stamp is of daemon %q", r.Stamp.Name)
	case r.Intent != nil && r.By == nil:
		return nil, errors.New("it doesn't say who starts the daemon")
	}
	if r.Intent != nil {
		if r.Intent.Stamp == nil || r.Intent.Instance == nil || r.Intent.Stamp.Name != name {
			return nil, errors.New("its intent is incomplete")
		}
		if err := checkInstance(r.Intent.Instance); err != nil {
			return nil, err
		}
	}
	if r.Instance != nil {
		return r, checkInstance(r.Instance)
	}
	return r, nil
}

func checkInstance(i *spec.Instance) error {
	switch {
	case tag(i) == 0:
		return fmt.Errorf("its instance %q is none of this driver", i.ID)
	case i.PID < 0 || i.PID == 1 || i.PID > maxPID:
		return fmt.Errorf("%d is no process of ours", i.PID)
	case i.PID > 0 && (i.StartTicks == 0 || i.BootID == ""):
		return fmt.Errorf("it doesn't say which process %d is meant", i.PID)
	}
	return nil
}
