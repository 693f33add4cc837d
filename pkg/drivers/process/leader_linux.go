package process

import (
	"cmp"
	"errors"
	"slices"

	"reconciler.dev/reconciler/internal/procfs"
	"reconciler.dev/reconciler/internal/spawn"
	"reconciler.dev/reconciler/pkg/spec"
)

// settling is how long after the start of a daemon of root's, in clock ticks, a process with fewer rights may begin that stands for it: ten seconds.
const settling = 10 * 100

// mainOf returns the instance with the process that stands for it when its first one isn't there, as that of a daemon does which put itself into the background: the oldest
// one, session leaders first; nil where none lives that may. left says that any process of its tree lives.
//
// Where trees aren't certain, any process may give itself the tag, which everybody can read. Nobody gains by being stopped for it, but it must not make a dead daemon look alive: so the process has to belong to the
// daemon's user, or to root. A daemon of root's may have given up its rights on the way; such a process has to be in its session, or to have begun with it.
func (d *Driver) mainOf(t Tree, i *spec.Instance, stamp *spec.Stamp) (main *spec.Instance, left bool, err error) {
	living, err := d.living(t, mainProcess(i))
	if err != nil || len(living) == 0 {
		return nil, false, err
	}
	may := living
	if !d.trees.Certain() {
		if may, err = trusted(living, i, stamp); err != nil || len(may) == 0 {
			return nil, true, err
		}
	}
	first := slices.MinFunc(may, func(a, b procfs.Stat) int {
		return cmp.Or(leads(b)-leads(a), cmp.Compare(a.Start, b.Start), a.PID-b.PID)
	})
	next := *i
	next.PID, next.StartTicks, next.BootID = first.PID, first.Start, d.self.BootID
	return &next, true, nil
}

// trusted returns those of the living that may stand for i.
func trusted(living []procfs.Stat, i *spec.Instance, stamp *spec.Stamp) (may []procfs.Stat, err error) {
	owner, err := ownerOf(stamp)
	if err != nil {
		return nil, err
	}
	for _, st := range living {
		switch ok, err := mayStandFor(i, owner, st); {
		case err != nil:
			return nil, err
		case ok:
			may = append(may, st)
		}
	}
	return may, nil
}

// ownerOf is the user that a daemon is started as.
func ownerOf(stamp *spec.Stamp) (uint32, error) {
	var user, group string
	if stamp != nil {
		user, group = stamp.Spec.User, stamp.Spec.Group
	}
	account, _, err := spawn.LookupAccount(user, group)
	if err != nil {
		return 0, err
	}
	return account.UID, nil
}

// mayStandFor says whether a process with the tag of i is trusted to be part of it.
func mayStandFor(i *spec.Instance, owner uint32, st procfs.Stat) (bool, error) {
	uid, euid, err := procfs.ReadUIDs(st.PID)
	if errors.Is(err, procfs.ErrGone) {
		return false, nil
	}
	if err != nil {
		return false, err
	}
	trusted := func(u uint32) bool { return u == 0 || u == owner }
	if trusted(uid) && trusted(euid) {
		return true, nil
	}
	return owner == 0 && (i.StartTicks == 0 || st.Session == i.PID || st.Start <= i.StartTicks+settling), nil
}

func leads(s procfs.Stat) int {
	if s.Session == s.PID {
		return 1
	}
	return 0
}
