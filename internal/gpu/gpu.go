// Package gpu tells which processes use which GPU, as the vendors' tools do: nvidia-smi and amd-smi. It runs them, and takes what they print apart.
//
// It must never wait for a tool longer than it is told to, nor make up a figure that a tool doesn't give: a driver that hides something prints N/A, and that stays unknown.
package gpu

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
)

// Device is a GPU.
type Device struct {
	// UUID is what names it for ever; of one whose tool tells none, its number, as in amd:0.
	UUID, Name string
	// Total is its memory in bytes; Utilisation the share of time in which it computed, in percent. nil: not known.
	Total       *int64
	Utilisation *float64
}

// Use is what a process uses of a GPU.
type Use struct {
	PID  int
	UUID string
	// Memory is in bytes; nil: not known.
	Memory *int64
}

// Reading is what the tools say at one time.
type Reading struct {
	Devices map[string]Device
	Uses    []Use
}

// Machine is where the tools are run.
type Machine struct {
	// Path are the folders in which they are looked for.
	Path []string
	// Run runs a program to its end and returns what it printed.
	Run func(ctx context.Context, path string, args ...string) ([]byte, error)
	// Dev is where devices have their files: /dev.
	Dev string
}

// vendor is one of those whose GPUs are known.
type vendor struct {
	// file is there where a driver of theirs is: below Machine.Dev.
	file, tool string
	read       func(ctx context.Context, run func(args ...string) ([]byte, error)) (Reading, error)
}

func vendors() []vendor {
	return []vendor{{"nvidiactl", "nvidia-smi", readNVIDIA}, {"kfd", "amd-smi", readAMD}}
}

// Read asks the tools of those vendors whose driver is on the machine; where there is none no process uses a GPU. An error says what couldn't be found out: a Reading without all of them
// would say that a process uses less than it does.
func (m Machine) Read(ctx context.Context) (Reading, error) {
	all := Reading{Devices: map[string]Device{}}
	for _, v := range vendors() {
		if _, err := os.Stat(filepath.Join(m.Dev, v.file)); errors.Is(err, fs.ErrNotExist) {
			continue
		}
		tool, err := m.find(v.tool)
		if err != nil {
			return Reading{}, err
		}
		one, err := v.read(ctx, func(args ...string) ([]byte, error) { return m.Run(ctx, tool, args...) })
		if err != nil {
			return Reading{}, fmt.Errorf("ask %s: %w", tool, err)
		}
		maps.Copy(all.Devices, one.Devices)
		all.Uses = append(all.Uses, one.Uses...)
	}
	return all, nil
}

// find returns the path of a tool.
func (m Machine) find(tool string) (string, error) {
	for _, dir := range m.Path {
		path := filepath.Join(dir, tool)
		if info, err := os.Stat(path); filepath.IsAbs(dir) && err == nil && info.Mode().IsRegular() && info.Mode()&0o111 != 0 {
			return path, nil
		}
	}
	return "", fmt.Errorf("a GPU driver is here and %s isn't, which tells who uses the GPU: install it, or put it into PATH", tool)
}
