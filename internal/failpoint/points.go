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
)

// Names lists all points.
func Names() []Point {
	return []Point{FileTemp, FileRename, FileRenamed}
}
