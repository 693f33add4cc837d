package bootstrap

import (
	"errors"
	"fmt"
	"path"
	"regexp"
	"strings"
)

// agentsDir is where agents are kept on a host, below the account's home directory.
const agentsDir = ".cache/reconciler/agents"

// agentFile is what an agent is called in the folder that is named by its content.
const agentFile = "reconciler"

// hashLength is how much of the content's SHA-256 names that folder: as many hexadecimal digits.
const hashLength = 16

// plainPath matches the paths that every login shell reads as one word and as it stands.
var plainPath = regexp.MustCompile(`^(~?/|[A-Za-z]:[/\\])?[A-Za-z0-9._+-][A-Za-z0-9._+/-]*$`)

var windowsPath = regexp.MustCompile(`^[A-Za-z]:[/\\]`)

// CheckPath says whether a path of a Host's agent can be used: it stands in a command that the account's shell reads, whichever that is, so it must be absolute or begin
// with ~/, and consist of letters, digits and . _ + - / alone.
func CheckPath(p string) error {
	switch {
	case !plainPath.MatchString(strings.ReplaceAll(p, `\`, "/")):
		return fmt.Errorf("use the agent's path %q: only letters, digits and . _ + - / may stand in it, so that every shell reads it alike", p)
	case !strings.HasPrefix(p, "/") && !strings.HasPrefix(p, "~/") && !windowsPath.MatchString(p):
		return fmt.Errorf("use the agent's path %q: it must be absolute, or begin with ~/", p)
	}
	return nil
}

// place is where a host's agent is, or is to be.
type place struct {
	// folder holds the agents of all versions, each in a folder named by its content; empty where the agent is one that somebody else put there.
	folder string
	// file is the agent as a command names it.
	file string
}

// placeOf returns where the agent with that hash is; the hash doesn't matter with Never.
func placeOf(opts Options, hash string) (place, error) {
	if opts.Path != "" {
		if err := CheckPath(opts.Path); err != nil {
			return place{}, err
		}
	}
	if opts.Install == Never {
		if opts.Path == "" {
			return place{file: agentFile}, nil // by the PATH of the account
		}
		return place{file: strings.ReplaceAll(opts.Path, `\`, "/")}, nil
	}
	if windowsPath.MatchString(opts.Path) {
		return place{}, errors.New("copy the agent to a Windows host: that isn't possible yet: put it there, and set agent.install: never beside agent.path")
	}
	folder := path.Clean("~/" + agentsDir)
	if opts.Path != "" {
		folder = path.Clean(opts.Path)
	}
	if len(hash) > hashLength {
		hash = hash[:hashLength]
	}
	return place{folder: folder, file: folder + "/" + hash + "/" + agentFile}, nil
}

// command starts the agent. It is one simple command that sh, bash, zsh, csh, tcsh and fish read alike; cmd.exe has no exec.
func (p place) command(sudo bool) string {
	switch {
	case windowsPath.MatchString(p.file):
		return p.file + " agent"
	case sudo:
		return "exec sudo -n " + p.file + " agent"
	}
	return "exec " + p.file + " agent"
}

// stdinPath is the path as the scripts take it: absolute, below the home directory, or a bare name.
func stdinPath(p string) string { return strings.TrimPrefix(p, "~/") }

// folderOfFile is the folder that an agent is copied into, beside the parts of its copies.
func (p place) folderOfFile() string { return path.Dir(p.file) }
