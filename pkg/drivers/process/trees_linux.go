package process

import (
	"reconciler.dev/reconciler/internal/procfs"
	"reconciler.dev/reconciler/pkg/spec"
)

// Trees hold daemons' trees of processes: they know who belongs to an instance, from before its first process until after its last one. The rest of a driver is the
// same whatever holds them. All methods may be called concurrently; those that change something are called with the daemon's lock held.
type Trees interface {
	// Kind is the word a manifest uses for a driver with these trees.
	Kind() spec.DriverKind
	// Certain says that no stranger can become part of a tree.
	Certain() bool
	// Lost lists what s asks for and these trees can't give here.
	Lost(name string, s *spec.Spec) []spec.Loss
	// Place returns where an instance of s goes, empty where there are no places. An error wraps ErrConflict where something else stands there. It changes nothing.
	Place(name string, s *spec.Spec) (string, error)
	// Make makes the place of t, empty and with all limits, and leaves m on it. The process to be is started in the cgroup that into holds on to, 0 for that of this
	// process; done lets go of it. Who dies here leaves nothing that Remove doesn't remove.
	Make(t Tree, m *Mark) (into int, done func(), err error)
	// Vacant is Place for a daemon that runs already: what Take has left there, cut off, is in nobody's way.
	Vacant(name string, s *spec.Spec) (string, error)
	// Take makes processes that run already part of t, whose place is vacant, without their noticing: those that members returns, parents first, and all that they have made meanwhile. still says
	// that what was looked at is what runs; it is asked before anything is done to them. Who dies here leaves them running, and not ours, or the mark m and a daemon that is.
	Take(t Tree, m *Mark, members func() ([]procfs.Stat, error), still func() error) error
	// Living returns the processes of t that haven't ended. It returns none only where there are none, and never will be again. Known to have ended before are dead.
	Living(t Tree, dead ...Process) ([]procfs.Stat, error)
	// Spots finds all of ts at once, at little cost: one Spot for each, in their order.
	Spots(ts []Tree) ([]Spot, error)
	// Has tells whether the process that has the number now is part of t.
	Has(t Tree, pid int) (bool, error)
	// Kill kills all processes of t at a stroke, and those they are just making, where these trees can do that; else it does nothing.
	Kill(t Tree) error
	// Remove removes the place of t, of which nothing lives. It is no error that there is none.
	Remove(t Tree) error
	// OOMKilled tells whether the kernel killed a process of t for want of memory.
	OOMKilled(t Tree) bool
	// Limit puts the limits that m's stamp asks for in force on t, which lives, and leaves m on it. An error wraps ErrUnsupported where one can't be and is required.
	Limit(t Tree, m *Mark) error
	// Look fills in what can be seen of t, which lives: its cgroup, its limits, what of them is lost, and what somebody changed.
	Look(t Tree, s *spec.Spec, o *spec.Observed) error
	// Marks returns the places that are there with a mark that Make left, by the name of the daemon.
	Marks() (places map[string]string, err error)
	// Mark returns what is on a place now, nil where that is gone.
	Mark(place string) (*Mark, error)
	// WhenEmpty calls emptied once when the last process of t has gone, unless the returned cancel was called before. cancel is nil where these trees can't tell.
	WhenEmpty(t Tree, emptied func()) (cancel func(), err error)
}

// Tree is the tree of one instance of a daemon.
type Tree struct {
	// Name is the daemon's, ID the instance's.
	Name, ID string
	// Place is what Trees.Place returned.
	Place string
	// Begun says that it may have been cut off while it was made, before the place was marked.
	Begun bool
}

// Spot is where a tree is.
type Spot struct {
	// Cgroup is the path of its cgroup below the mount of cgroup v2, Dir the directory of that; empty where it isn't held by one, or nothing of it is left.
	Cgroup, Dir string
	// PIDs are its processes where there is no Dir, those included that have ended and whose parent hasn't noticed.
	PIDs []int
	// Err says why it couldn't be looked for.
	Err error
}

// Process is one process for ever: no other one ever has both numbers.
type Process struct {
	PID int
	// Start is when it was started, in clock ticks since boot.
	Start uint64
}

// Mark is what a place says of the instance that it is for: enough to know the daemon by when its record is lost.
type Mark struct {
	// Place is where the mark was found.
	Place    string         `json:"-"`
	Stamp    *spec.Stamp    `json:"stamp"`
	Instance *spec.Instance `json:"instance"`
}

func mainProcess(i *spec.Instance) Process { return Process{i.PID, i.StartTicks} }

// tree is that of the record's instance.
func (r *record) tree() Tree { return Tree{Name: r.Name, ID: r.Instance.ID, Place: r.Place} }

// tree is that of the instance to be.
func (in *intent) tree() Tree {
	return Tree{Name: in.Stamp.Name, ID: in.Instance.ID, Place: in.Place, Begun: true}
}
