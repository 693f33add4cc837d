package spawn

import (
	"bufio"
	"debug/elf"
	"errors"
	"fmt"
	"io"
	"os"
	"runtime"
	"strings"
	"syscall"
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
	found := checkFormat(path)
	if found == "" && errors.Is(err, syscall.ENOEXEC) {
		found = foreign(path)
	}
	return found
}

// foreign says what a file is that this host can't execute.
func foreign(path string) string {
	f, err := elf.Open(path)
	if err != nil {
		return "it is neither a program of this host nor a script with a #! line"
	}
	defer f.Close()
	return fmt.Sprintf("it was built for %s, %s, and this host is %s", f.Machine, f.Class, runtime.GOARCH)
}

// checkFormat looks into the file for what the kernel would need.
func checkFormat(path string) string {
	f, err := os.Open(path)
	if err != nil {
		return "" // executable, and not for us to read
	}
	defer f.Close()
	var head [4]byte
	if _, err := io.ReadFull(f, head[:]); err != nil {
		return "it is empty, or too short to be a program"
	}
	if string(head[:]) == elf.ELFMAG {
		return checkELF(f)
	}
	if head[0] != '#' || head[1] != '!' {
		return "" // the kernel may know further formats: see binfmt_misc
	}
	line, _ := bufio.NewReader(io.NewSectionReader(f, 2, 256)).ReadString('\n')
	interpreter, _, _ := strings.Cut(strings.TrimSpace(line), " ")
	if strings.HasSuffix(interpreter, "\r") || strings.HasSuffix(line, "\r\n") {
		return "its first line ends with a carriage return: convert it to Unix line ends"
	}
	if _, err := os.Stat(interpreter); err != nil {
		return fmt.Sprintf("its interpreter %q is missing", interpreter)
	}
	return ""
}

// checkELF looks for the program loader that the file names.
func checkELF(f *os.File) string {
	e, err := elf.NewFile(f)
	if err != nil {
		return "it is a damaged program: " + err.Error()
	}
	for _, p := range e.Progs {
		if p.Type != elf.PT_INTERP {
			continue
		}
		name, err := io.ReadAll(io.LimitReader(p.Open(), 4096))
		loader := strings.TrimRight(string(name), "\x00")
		if _, statErr := os.Stat(loader); err == nil && statErr != nil {
			return fmt.Sprintf("its program loader %q is missing: it was built for another C library or architecture (%s, and this host is %s)", loader, e.Machine, runtime.GOARCH)
		}
	}
	return ""
}
