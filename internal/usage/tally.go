package usage

import (
	"time"

	"reconciler.dev/reconciler/pkg/spec"
)

// tally is what is remembered of an instance's processes from one pass to the next.
type tally struct {
	procs map[process]times
	// carry is CPU time of processes that have gone, and that nobody's count of ended children has.
	carry times
	// io is what was counted last, and ioCarry what of it processes took with them that have gone.
	io, ioCarry counts
}

// process is one process for ever.
type process struct {
	pid   int
	start int64
}

// times are the CPU times of a process, and those of its children that ended and that it waited for.
type times struct{ user, system, childUser, childSystem time.Duration }

func (t times) plus(u times) times {
	return times{t.user + u.user, t.system + u.system, t.childUser + u.childUser, t.childSystem + u.childSystem}
}

// all is the CPU time of a process and of those whose time it was told.
func (t times) all() (user, system time.Duration) {
	return t.user + t.childUser, t.system + t.childSystem
}

// cpuOf adds up the CPU time of a tree. That of a process that has gone since the pass before is counted once: by its parent, where that waited for it, or else from what was seen of
// it. last is nil in the first pass.
func (t *tally) cpuOf(procs map[process]times, last *tally) (user, system time.Duration) {
	t.procs = procs
	var sum times
	for _, now := range procs {
		sum = sum.plus(now)
	}
	if last != nil {
		var gone, told times
		for p, was := range last.procs {
			if now, lives := procs[p]; lives {
				told.childUser += now.childUser - was.childUser
				told.childSystem += now.childSystem - was.childSystem
			} else {
				gone = gone.plus(was)
			}
		}
		goneUser, goneSystem := gone.all()
		t.carry.user = last.carry.user + max(0, goneUser-told.childUser)
		t.carry.system = last.carry.system + max(0, goneSystem-told.childSystem)
	}
	return sum.plus(t.carry).all()
}

// counts are bytes that were read and written.
type counts struct{ read, write int64 }

// ioOf makes of a sum over the processes that live one that doesn't go down when a process goes whose parent isn't told.
func (t *tally) ioOf(sum counts, last *tally) spec.IOUse {
	t.io = sum
	if last != nil {
		t.ioCarry = counts{last.ioCarry.read + max(0, last.io.read-sum.read), last.ioCarry.write + max(0, last.io.write-sum.write)}
	}
	read, write := sum.read+t.ioCarry.read, sum.write+t.ioCarry.write
	return spec.IOUse{ReadBytes: &read, WriteBytes: &write}
}
