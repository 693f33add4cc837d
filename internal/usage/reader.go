package usage

// Subject is an instance of a daemon that runs.
type Subject struct {
	// Dir is the directory of its cgroup; empty where it has none of its own.
	Dir string
	// PIDs are its processes, where it has no cgroup.
	PIDs []int
}
