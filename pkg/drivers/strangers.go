package drivers

import (
	"context"
	"time"
)

// Surveyor is a Driver that can tell what runs in the slices where its daemons are and isn't one of them.
type Surveyor interface {
	// Strangers returns what runs there without our stamp, sorted by cgroup. It changes nothing. The error wraps ErrUnsupported where the driver's daemons are in no cgroups.
	Strangers(ctx context.Context) ([]Stranger, error)
}

// Stranger is a unit or a cgroup in one of our slices that has processes and doesn't carry our stamp. All of it was written by others.
type Stranger struct {
	Kind StrangerKind `json:"kind"`
	// Name is that of the unit, or the path of the cgroup.
	Name string `json:"name"`
	// Cgroup is its path below the mount of cgroup v2.
	Cgroup string `json:"cgroup"`
	PIDs   []int  `json:"pids"`
	// Command is how the oldest of its processes was called, User whose that is, and Since when it began, by the wall clock. They are empty where it has ended meanwhile.
	Command []string  `json:"command,omitempty"`
	User    string    `json:"user,omitempty"`
	Since   time.Time `json:"since,omitzero"`
	// Owner says whose it is, where it says so itself.
	Owner string `json:"owner,omitempty"`
}

// StrangerKind says what a Stranger is.
type StrangerKind string

// The kinds of strangers.
const (
	StrangerUnit   StrangerKind = "unit"
	StrangerCgroup StrangerKind = "cgroup"
)
