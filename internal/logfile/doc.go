// Package logfile reads the logs of daemons, and rotates them under their writers. A daemon appends to its log file itself, and never reopens it; what is rotated
// is copied to NAME.1 and then cut off from the front of the file, so that no line is lost and the writer notices nothing.
//
// All that was ever written to a log is one stream of bytes, and a position in it means the same before and after a rotation. How many bytes were cut off
// stands in a small file beside the log. Rotation and reading exclude each other by a lock on the log file, for an instant each.
//
// It must never write into a log, nor hold up its writer.
package logfile

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strconv"
	"strings"

	"reconciler.dev/reconciler/internal/atomicfile"
)

// state is what stands beside a log that was ever rotated.
type state struct {
	// Inode is the file that the rest speaks of: what is made anew under the name begins anew.
	Inode uint64 `json:"inode"`
	// Cut is how many bytes were cut off from the front.
	Cut int64 `json:"cut"`
	// Pending is a rotation that was begun: N bytes are copied to the pending file, and may be cut off already. Base and Size are as they were before.
	Pending *pending `json:"pending,omitempty"`
}

type pending struct {
	N    int64 `json:"n"`
	Base int64 `json:"base"`
	Size int64 `json:"size"`
	// Copied says that there is a copy: none is made where no rotated file is kept.
	Copied bool `json:"copied"`
}

func statePath(path string) string {
	return filepath.Join(filepath.Dir(path), "."+filepath.Base(path)+".state")
}

func pendingPath(path string) string {
	return filepath.Join(filepath.Dir(path), "."+filepath.Base(path)+".rotating")
}

// readState returns the state of the log at path, which is the file inode. A log without one was never rotated.
func readState(path string, inode uint64) (state, error) {
	text, err := os.ReadFile(statePath(path))
	if errors.Is(err, fs.ErrNotExist) {
		return state{Inode: inode}, nil
	}
	if err != nil {
		return state{}, fmt.Errorf("read the state of log %s: %w", path, err)
	}
	var s state
	if err := json.Unmarshal(text, &s); err != nil || s.Inode != inode {
		return state{Inode: inode}, nil // of a file that is no more, or damaged: positions begin anew
	}
	return s, nil
}

func (s state) write(path string) error {
	text, err := json.Marshal(s)
	if err != nil {
		return fmt.Errorf("write the state of log %s: %w", path, err)
	}
	return atomicfile.Write(statePath(path), text, 0o644, atomicfile.Volatile)
}

// numbered returns the rotated files path.1, path.2 and so on, the newest first, up to the first gap.
func numbered(path string) (names []string) {
	for i := 1; ; i++ {
		name := path + "." + strconv.Itoa(i)
		if info, err := os.Lstat(name); err != nil || !info.Mode().IsRegular() {
			return names
		}
		names = append(names, name)
	}
}

// Remove removes a log with all that stands beside it. Its writer must have ended.
func Remove(path string) error {
	entries, err := os.ReadDir(filepath.Dir(path))
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("remove log: %w", err)
	}
	var errs []error
	for _, e := range entries {
		name := filepath.Join(filepath.Dir(path), e.Name())
		number, rotated := strings.CutPrefix(name, path+".")
		if _, err := strconv.Atoi(number); name == path || name == statePath(path) || name == pendingPath(path) || rotated && err == nil {
			errs = append(errs, atomicfile.Remove(name, atomicfile.Volatile))
		}
	}
	return errors.Join(errs...)
}
