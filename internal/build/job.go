package build

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"io"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"
)

// Job is one program to be built.
type Job struct {
	// Name is what it is for, in messages.
	Name string
	// Dir is where the command runs, absolute.
	Dir string
	// Command is argv: no shell. A name without a slash is looked up in PATH, another relative path in Dir.
	Command []string
	// Inputs are patterns of package glob, relative to Dir: what the program is made from.
	Inputs []string
	// Output is the file that the command makes, relative to Dir, with slashes. It is never an input.
	Output string
	// Env is the command's environment besides that of Options.
	Env map[string]string
	// Timeout ends a command that takes longer; 0: none does.
	Timeout time.Duration
	// Sources, where it is set, is a digest of all inputs, by somebody else who has them: Inputs are not looked at.
	Sources string
	// Fetch brings the inputs to Dir before the command is run, with the folder's lock held. Nil: they are there.
	Fetch func(ctx context.Context) error
}

func (j Job) output() string { return filepath.Join(j.Dir, filepath.FromSlash(j.Output)) }

// environ is the whole environment of the command, sorted.
func (j Job) environ(base map[string]string) []string {
	all := maps.Clone(base)
	if all == nil {
		all = map[string]string{}
	}
	maps.Copy(all, j.Env)
	env := make([]string, 0, len(all))
	for _, k := range slices.Sorted(maps.Keys(all)) {
		env = append(env, k+"="+all[k])
	}
	return env
}

// bringsTool says whether the program that the command begins with lies in its folder.
func (j Job) bringsTool() bool {
	return len(j.Command) > 0 && strings.Contains(j.Command[0], "/") && !filepath.IsAbs(j.Command[0])
}

// tool finds the program that the command begins with.
func (j Job) tool(base map[string]string) (string, error) {
	if len(j.Command) == 0 || j.Command[0] == "" {
		return "", fmt.Errorf("build %s: it has no command", j.Name)
	}
	name := j.Command[0]
	if strings.Contains(name, "/") || filepath.IsAbs(name) {
		if !filepath.IsAbs(name) {
			name = filepath.Join(j.Dir, name)
		}
		if why := unfit(name); why != "" {
			return "", fmt.Errorf("build %s: %s %s", j.Name, name, why)
		}
		return name, nil
	}
	dirs, ok := j.Env["PATH"]
	if !ok {
		dirs = base["PATH"]
	}
	for _, dir := range filepath.SplitList(dirs) {
		for _, suffix := range suffixes() {
			if path := filepath.Join(dir, name+suffix); filepath.IsAbs(dir) && unfit(path) == "" {
				return path, nil
			}
		}
	}
	return "", fmt.Errorf("build %s: there is no command %q in PATH (%s): install it, or write its path", j.Name, name, dirs)
}

// unfit says why a file can't be executed; "" where it can.
func unfit(path string) string {
	info, err := os.Stat(path)
	switch {
	case err != nil:
		return "isn't there, or can't be looked at"
	case info.IsDir():
		return "is a directory"
	case !isProgram(info):
		return "isn't executable (chmod +x)"
	}
	return ""
}

// File is a file by its content.
type File struct {
	Path string
	// Digest is sha256: and the hex digest of its content.
	Digest string
	Size   int64
}

// readFile digests a regular file, and returns what the kernel said of it afterwards.
func readFile(path string) (File, os.FileInfo, error) {
	f, err := os.Open(path)
	if err != nil {
		return File{}, nil, err
	}
	defer f.Close()
	info, err := f.Stat()
	if err != nil {
		return File{}, nil, err
	}
	if !info.Mode().IsRegular() {
		return File{}, nil, fmt.Errorf("read %s: this is not a regular file", path)
	}
	sum := sha256.New()
	n, err := io.Copy(sum, f)
	if err == nil {
		info, err = f.Stat()
	}
	if err != nil {
		return File{}, nil, fmt.Errorf("read %s: %w", path, err)
	}
	return File{Path: path, Digest: "sha256:" + hex.EncodeToString(sum.Sum(nil)), Size: n}, info, nil
}
