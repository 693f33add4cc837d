package spawn

import (
	"fmt"
	"syscall"
)

// Exec makes this process the program path, in its directory dir (empty: where it is), with that argv and environment. It returns only on an error,
// a *DirError where it was the directory.
func Exec(dir, path string, argv, env []string) error {
	if dir != "" {
		if err := syscall.Chdir(dir); err != nil {
			return &DirError{dir, err}
		}
	}
	return fmt.Errorf("execute %s: %w", path, syscall.Exec(path, argv, env))
}

// DirError says that a directory couldn't be entered.
type DirError struct {
	Dir string
	Err error
}

func (e *DirError) Error() string { return fmt.Sprintf("enter %s: %v", e.Dir, e.Err) }

// Unwrap returns why.
func (e *DirError) Unwrap() error { return e.Err }
