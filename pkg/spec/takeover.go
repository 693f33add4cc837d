package spec

import "time"

// Candidate says which running daemon is to be taken over. One of Unit, PID and PIDFile is set; once it was looked at, PID and StartTicks say which process that is, for ever.
type Candidate struct {
	// Unit is a unit of systemd's, as in nginx.service.
	Unit string `json:"unit,omitempty"`
	PID  int    `json:"pid,omitempty"`
	// PIDFile is the path of a file in which a daemon has written its number.
	PIDFile string `json:"pidFile,omitempty"`
	// StartTicks is when the process was started, in clock ticks since boot; 0: whenever.
	StartTicks uint64 `json:"startTicks,omitempty"`
}

// Takeover is what a look at a running daemon came to that is to be taken over. Its texts were written by others.
type Takeover struct {
	// Candidate has the process that was found.
	Candidate Candidate `json:"candidate"`
	// Ours says that it was taken over already.
	Ours bool `json:"ours,omitempty"`
	// Driver is what takes it over.
	Driver DriverKind `json:"driver"`
	// PIDs are its processes, the main one first.
	PIDs []int `json:"pids"`
	// Command, User, Dir, Cgroup and Output are those of the main process: Output is where it writes. Since is when it began, by the wall clock.
	Command []string  `json:"command"`
	User    string    `json:"user"`
	Dir     string    `json:"workingDir,omitempty"`
	Cgroup  string    `json:"cgroup,omitempty"`
	Output  string    `json:"output,omitempty"`
	Since   time.Time `json:"since"`
	// Env are the names of the variables that it has.
	Env []string `json:"env,omitempty"`
	// Now is what changes at once, with no effect on what the processes do, as limits do. Pending is what the kernel can't change in a process that lives: the next start of the daemon does. Both
	// have what the manifest says as Want, and what is so as Have; no value of a variable is among them.
	Now     []Drift `json:"now,omitempty"`
	Pending []Drift `json:"pending,omitempty"`
	// Lost is what the manifest asks for and the driver doesn't enforce here.
	Lost []Loss `json:"lost,omitempty"`
	// Notes are what else a person should know.
	Notes []string `json:"notes,omitempty"`
}
