package spawn

import (
	"errors"
	"fmt"
	"os"
	"syscall"

	"reconciler.dev/reconciler/internal/program"
)

// Error says why a process couldn't be started.
type Error struct {
	// Stage is what was attempted; empty: to execute the program.
	Stage string
	Path  string
	// Found is what is the matter and what to do about it, where that could be found out.
	Found string
	Errno error
}

func (e *Error) Error() string {
	what := e.Stage
	if what == "" {
		what = "execute " + e.Path
	}
	if e.Found == "" {
		return fmt.Sprintf("%s: %v", what, e.Errno)
	}
	return fmt.Sprintf("%s: %s (%v)", what, e.Found, e.Errno)
}

func (e *Error) Unwrap() error { return e.Errno }

// Temporary tells whether the same may succeed later without anybody changing the manifest or the program.
func (e *Error) Temporary() bool {
	for _, errno := range []syscall.Errno{syscall.EAGAIN, syscall.ENOMEM, syscall.EMFILE, syscall.ENFILE, syscall.ETXTBSY, syscall.EIO, syscall.EINTR, syscall.ESTALE} {
		if errors.Is(e.Errno, errno) {
			return true
		}
	}
	return false
}

// explain finds out what stands behind an error of a child before it was its program. An empty stage may be any when the child was started without a launcher.
func explain(c Cmd, stage string, err error) error {
	e := &Error{Stage: stage, Path: c.Path, Errno: err}
	if stage != "" && stage != stages[atDir] {
		return e
	}
	if fi, dirErr := os.Stat(c.Dir); dirErr != nil || !fi.IsDir() {
		e.Stage = stages[atDir]
		e.Found = c.Dir + " is no directory"
		if os.IsNotExist(dirErr) {
			e.Found = "there is no " + c.Dir
		}
		return e
	}
	if stage == "" {
		e.Found = CheckProgram(c.Path, err)
	}
	return e
}

// CheckProgram says in a sentence why the program can't be executed, empty where it finds nothing. err is what execve(2) said; nil where nobody tried.
func CheckProgram(path string, err error) string {
	fi, statErr := os.Stat(path)
	switch {
	case os.IsNotExist(statErr):
		return "there is no such file"
	case statErr != nil:
		return statErr.Error()
	case fi.IsDir():
		return "it is a directory"
	case !fi.Mode().IsRegular():
		return "it is no regular file"
	case fi.Mode()&0o111 == 0:
		return "it isn't executable: chmod +x it"
	case errors.Is(err, syscall.ETXTBSY):
		return "somebody is still writing it"
	case errors.Is(err, syscall.E2BIG):
		return "its arguments and environment are too long together"
	case errors.Is(err, syscall.EAGAIN):
		return "its user has as many processes as the limit nproc allows"
	case errors.Is(err, syscall.EACCES):
		return "its user may not execute it: look at the permissions of the file and of the directories on the way, and at the mount option noexec"
	}
	found := program.Options{}.Format(path)
	if found == "" && errors.Is(err, syscall.ENOEXEC) {
		found = "it is neither a program of this host nor a script with a #! line"
	}
	return found
}
