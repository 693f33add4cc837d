package spec

import "time"

// BuildJob is a program that a host is to build for itself.
type BuildJob struct {
	// Name is the daemon's.
	Name    string            `json:"name"`
	Command []string          `json:"command"`
	Env     map[string]string `json:"env,omitempty"`
	Output  string            `json:"output"`
	Timeout time.Duration     `json:"timeout,omitempty"`
	// Inputs is the digest of an archive of all that it is built from, which the host keeps among programs.
	Inputs string `json:"inputs"`
	// Force has it built even where nothing changed.
	Force bool `json:"force,omitempty"`
}

// BuildResult is what came of a BuildJob.
type BuildResult struct {
	// Digest is that of the program, which the host keeps now, and Size is in bytes.
	Digest string `json:"digest"`
	Size   int64  `json:"size"`
	// Built says that it was built just now, and Took is how long the last build took.
	Built bool          `json:"built,omitempty"`
	Took  time.Duration `json:"took,omitempty"`
	// Compiler is what built it.
	Compiler Compiler `json:"compiler,omitzero"`
}

// Compiler is the program that the command of a build begins with.
type Compiler struct {
	// Path is where it was found, for messages, and Digest is its content.
	Path   string `json:"path"`
	Digest string `json:"digest"`
}
