package build

import (
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"time"

	"reconciler.dev/reconciler/internal/atomicfile"
)

// record is what is remembered of the last build that succeeded.
type record struct {
	Dir     string        `json:"dir"`
	Source  source        `json:"source"`
	Program File          `json:"program"`
	BuiltAt time.Time     `json:"builtAt"`
	Took    time.Duration `json:"took"`
}

// pending is what is written down before a command is started, for whoever finds it unfinished: the tree of processes that carries
// the tag, which no other process ever has, in whatever boot, is to be ended.
type pending struct {
	Tag uint64 `json:"tag"`
}

// folder is where everything about builds in one folder is kept.
func (b *Builder) folder(dir string) string {
	sum := sha256.Sum256([]byte(dir))
	return filepath.Join(b.o.Dir, hex.EncodeToString(sum[:8]))
}

// place is where everything about one program of that folder is kept, with a suffix to come.
func (b *Builder) place(j Job) string {
	sum := sha256.Sum256([]byte(filepath.Clean(j.output())))
	return filepath.Join(b.folder(j.Dir), hex.EncodeToString(sum[:8]))
}

// Log is the file in which all that the last command of a job printed is kept.
func (b *Builder) Log(j Job) string { return b.place(j) + ".log" }

// recorded returns what is remembered; nil for nothing, and for what can't be understood: then it is built again.
func (b *Builder) recorded(j Job) (*record, error) {
	var r record
	switch ok, err := readJSON(b.place(j)+".json", &r); {
	case err != nil:
		return nil, fmt.Errorf("look up when %s was built last: %w", j.Name, err)
	case !ok:
		return nil, nil
	}
	return &r, nil
}

// readJSON says whether there is such a file and it could be understood.
func readJSON(path string, into any) (bool, error) {
	data, err := os.ReadFile(path)
	if errors.Is(err, fs.ErrNotExist) {
		return false, nil
	}
	if err != nil {
		return false, err
	}
	return json.Unmarshal(data, into) == nil, nil
}

func writeJSON(path string, v any) error {
	data, err := json.Marshal(v)
	if err != nil {
		return err
	}
	return atomicfile.Write(path, data, 0o600, atomicfile.Volatile)
}
