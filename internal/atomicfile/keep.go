package atomicfile

import (
	"bytes"
	"os"
	"path/filepath"
)

// Keep makes path hold data for the account alone, and makes the directories that are missing. Where it holds that already, nothing is written. It is for files that one writer at a time
// keeps: see Write for the rest.
func Keep(path string, data []byte, d Durability) error {
	if have, err := os.ReadFile(path); err == nil && bytes.Equal(have, data) {
		return nil
	}
	if err := MkdirAll(filepath.Dir(path), 0o700, d); err != nil {
		return err
	}
	return Write(path, data, 0o600, d)
}
