package drivers

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"

	"golang.org/x/sys/unix"

	"reconciler.dev/reconciler/internal/spawn"
	"reconciler.dev/reconciler/pkg/spec"
)

// Program is what every driver for Linux has to have in order before a daemon's program is executed. An empty Dir is the root directory; with an empty Log the output isn't a file's.
type Program struct {
	Binary, Dir, Log string
	// Account is who the daemon runs as. Become says that this isn't who we are.
	Account *spawn.Account
	Become  bool
	// Awaited says that the program is put there before the start, and so need not be there yet.
	Awaited bool
}

// as is whom the kernel is asked for; nil: for ourselves.
func (p *Program) as() *spawn.Account {
	if p.Become {
		return p.Account
	}
	return nil
}

// Check looks at what a start would need: the directory, the program and where the log is to be. It asks the kernel as the account that will, and changes nothing. Errors wrap
// ErrPermanent and name the field.
func (p *Program) Check() error {
	dir := p.Dir
	if dir == "" {
		dir = "/"
	}
	if fi, err := os.Stat(dir); err != nil || !fi.IsDir() {
		return fmt.Errorf("spec.workingDir: %s is no directory: make it: %w", dir, ErrPermanent)
	}
	if err := p.checkBinary(); err != nil {
		return err
	}
	if err := spawn.MayExecute(p.as(), dir); err != nil {
		return fmt.Errorf("spec.workingDir: user %s can't enter %s (%w): %w", p.Account.Name, dir, err, ErrPermanent)
	}
	if p.Log == "" {
		return nil
	}
	in := filepath.Dir(p.Log)
	switch err := unix.Access(in, unix.W_OK|unix.X_OK); {
	case errors.Is(err, unix.ENOENT): // it will be made
	case err != nil:
		return fmt.Errorf("spec.log.path: %s can't be written in (%w): %w", in, err, ErrPermanent)
	}
	return nil
}

func (p *Program) checkBinary() error {
	if p.Awaited {
		return nil
	}
	if found := spawn.CheckProgram(p.Binary, nil); found != "" {
		return fmt.Errorf("spec.binary: %s: %s: %w", p.Binary, found, ErrPermanent)
	}
	if err := spawn.MayExecute(p.as(), p.Binary); err != nil {
		return fmt.Errorf("spec.binary: user %s can't execute %s (%w): look at its permissions and those of the directories on the way: %w", p.Account.Name, p.Binary, err, ErrPermanent)
	}
	return nil
}

// OpenLog opens the log for appending, and makes it where it isn't there. A new one belongs to the daemon's account, which may want to open it again as /dev/stderr. Errors wrap
// ErrPermanent.
func (p *Program) OpenLog() (*os.File, error) {
	const flags = os.O_WRONLY | os.O_APPEND | os.O_CREATE | unix.O_NOFOLLOW | unix.O_NOCTTY
	f, err := os.OpenFile(p.Log, flags|os.O_EXCL, 0o640)
	if errors.Is(err, fs.ErrNotExist) {
		if err := os.MkdirAll(filepath.Dir(p.Log), 0o755); err != nil {
			return nil, fmt.Errorf("make the log's directory: %w: %w", err, ErrPermanent)
		}
		f, err = os.OpenFile(p.Log, flags|os.O_EXCL, 0o640)
	}
	switch {
	case err == nil && p.Become:
		err = f.Chown(int(p.Account.UID), int(p.Account.GID))
	case errors.Is(err, fs.ErrExist):
		if f, err = os.OpenFile(p.Log, flags|unix.O_NONBLOCK, 0o640); err == nil {
			err = checkLog(f)
		}
	}
	if err != nil {
		f.Close() // nil is fine
		return nil, fmt.Errorf("open the log: %w: %w", err, ErrPermanent)
	}
	return f, nil
}

// checkLog accepts a file or a device, such as /dev/null, and makes writing to it wait as a daemon expects.
func checkLog(f *os.File) error {
	fi, err := f.Stat()
	if err != nil {
		return err
	}
	if m := fi.Mode(); !m.IsRegular() && m&os.ModeCharDevice == 0 {
		return fmt.Errorf("%s is neither a file nor a character device", f.Name())
	}
	return unix.SetNonblock(int(f.Fd()), false)
}

// Signal returns the number of a signal, that of SIGTERM where the spec names none. An error wraps ErrPermanent.
func Signal(s spec.Signal) (unix.Signal, error) {
	if s == "" {
		return unix.SIGTERM, nil
	}
	if n := unix.SignalNum(string(s)); n != 0 {
		return n, nil
	}
	return 0, fmt.Errorf("there is no signal %s on Linux: %w", s, ErrPermanent)
}
