// Package failpoint kills the own process at a chosen point between two effects, so that tests can show what a crash there leaves behind.
//
// It is compiled to nothing unless the build tag failpoints is given. Released binaries never have it.
package failpoint

// Point names one place in the code.
type Point string

// Env is the environment variable that chooses the point to die at: NAME, or NAME:N for the Nth time it is passed.
const Env = "RECONCILER_FAILPOINT"

// TraceEnv is the environment variable that names a file to which the points are written as they are passed, a line each.
const TraceEnv = "RECONCILER_FAILPOINT_TRACE"

// The points, in the order in which a daemon's life passes them.
const (
	FileTemp    Point = "file.temp"    // a temporary file is written
	FileRename  Point = "file.rename"  // it is complete, and not yet renamed
	FileRenamed Point = "file.renamed" // it is in its place, the directory not yet flushed

	ProgramArrived Point = "program.arrived" // a program is in the store, and at no place
	ProgramClaimed Point = "program.claimed" // where it goes is recorded, and nothing is there
	ProgramPlaced  Point = "program.placed"  // it is at its place, and the daemon runs the one before

	RecordWrite    Point = "record.write"    // a daemon's record is about to be written
	RecordWritten  Point = "record.written"  // it is
	StartIntended  Point = "start.intended"  // a start is recorded, and nothing is started
	StartPlaced    Point = "start.placed"    // the place for the daemon is made, and nothing is started
	LeafMade       Point = "leaf.made"       // a daemon's cgroup is made, and not marked
	LeafMarked     Point = "leaf.marked"     // it is, and has no limits
	UnitWritten    Point = "unit.written"    // a unit file is in its place, and not enabled
	ListenHolder   Point = "listen.holder"   // a process that holds sockets was started, and holds none
	ListenWritten  Point = "listen.written"  // the units of sockets are in their place, and the daemon's isn't
	ListenOpened   Point = "listen.opened"   // a daemon's sockets are open, and it isn't started
	ListenRetaken  Point = "listen.retaken"  // another process holds the sockets of a daemon, because the one that did was killed
	StartForked    Point = "start.forked"    // the daemon runs, and the record doesn't know its process
	StartRecorded  Point = "start.recorded"  // the start is done
	SlotBeside     Point = "slot.beside"     // the new instance runs beside the old one
	SlotJudged     Point = "slot.judged"     // it is decided which of them goes, and both run
	SlotEnded      Point = "slot.ended"      // that one has ended, and is known still
	AdoptBegun     Point = "adopt.begun"     // it is noted which daemon is being taken over, and nothing is done to it
	AdoptMoved     Point = "adopt.moved"     // its processes are in the daemon's cgroup, which isn't marked
	AdoptTaken     Point = "adopt.taken"     // they are marked, and there is no record
	StampLimited   Point = "stamp.limited"   // changed limits are in force, and the record doesn't know
	StopIntended   Point = "stop.intended"   // a stop is recorded, and nobody was asked to end
	StopPosted     Point = "stop.posted"     // the stop URL didn't help, or there is none
	StopSignalled  Point = "stop.signalled"  // the signal didn't help
	StopGone       Point = "stop.gone"       // nothing of the daemon lives, and the record doesn't know
	StopRecorded   Point = "stop.recorded"   // the stop is done
	PauseIntended  Point = "pause.intended"  // what is to be paused isn't started at boot any more, and isn't paused yet
	ListenClosed   Point = "listen.closed"   // a socket is closed, and what says that there is one isn't gone
	PauseForgotten Point = "pause.forgotten" // what was paused isn't, and isn't started at boot yet
	LogCopied      Point = "log.copied"      // the front of a log is copied, and announced as about to be cut off
	LogCut         Point = "log.cut"         // it is cut off
	LogRenamed     Point = "log.renamed"     // the copy has its final name, and isn't counted yet
	LeafRemoved    Point = "leaf.removed"    // the cgroup of a daemon that ended is gone
	RemoveRecord   Point = "remove.record"   // the record is about to go
	UnitDisabled   Point = "unit.disabled"   // a unit isn't started at boot any more, and its file is about to go
	RecordRemoved  Point = "record.removed"  // it is gone
)

// Names lists all points.
func Names() []Point {
	return []Point{
		FileTemp, FileRename, FileRenamed, ProgramArrived, ProgramClaimed, ProgramPlaced, RecordWrite, RecordWritten, StartIntended, LeafMade, LeafMarked, StartPlaced, ListenWritten, UnitWritten, ListenHolder, ListenOpened, ListenRetaken, StartForked, StartRecorded,
		SlotBeside, SlotJudged, SlotEnded, AdoptBegun, AdoptMoved, AdoptTaken, StampLimited,
		StopIntended, StopPosted, StopSignalled, StopGone, StopRecorded, PauseIntended, ListenClosed, PauseForgotten, LogCopied, LogCut, LogRenamed, LeafRemoved, RemoveRecord, UnitDisabled, RecordRemoved,
	}
}
