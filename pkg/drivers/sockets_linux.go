package drivers

import (
	"errors"
	"fmt"
	"io/fs"
	"net/netip"
	"strings"

	"golang.org/x/sys/unix"

	"reconciler.dev/reconciler/internal/listeners"
	"reconciler.dev/reconciler/internal/sockets"
	"reconciler.dev/reconciler/internal/spawn"
	"reconciler.dev/reconciler/pkg/spec"
)

// Sockets are those that are opened for a daemon which runs as a. The file of one is as if the daemon had made it itself: its user's and group's, with the mode that its umask leaves.
func Sockets(s *spec.Spec, a *spawn.Account) ([]sockets.Socket, error) {
	umask := spec.Mode(0o022)
	if s.Umask != nil {
		umask = *s.Umask
	}
	all := make([]sockets.Socket, len(s.Listen))
	for i, text := range s.Listen {
		x, err := spec.ParseSocket(text)
		if err != nil {
			return nil, fmt.Errorf("spec.listen[%d]: %w: %w", i, err, ErrPermanent)
		}
		all[i] = sockets.Socket{Network: x.Network, Address: x.Address, UID: int(a.UID), GID: int(a.GID), Mode: 0o666 &^ fs.FileMode(umask)}
	}
	return all, nil
}

// CheckSockets tells, before anything is stopped, what can't be listened on here whoever has it now. It changes nothing. Errors wrap ErrPermanent where another try can't help.
func CheckSockets(all []sockets.Socket) error {
	var errs []error
	for i, s := range all {
		if err := sockets.Try(s); err != nil {
			errs = append(errs, fmt.Errorf("spec.listen[%d]: %w", i, ExplainSockets(err, nil)))
		}
	}
	return errors.Join(errs...)
}

// ExplainSockets adds to an error about sockets what is known of it: who has the address of one of them, or what it takes to have it.
func ExplainSockets(err error, all []sockets.Socket) error {
	switch {
	case err == nil:
		return nil
	case errors.Is(err, sockets.ErrInUse):
		for _, s := range all {
			if who := answerer(s); who != "" && strings.Contains(err.Error(), s.String()+":") {
				return fmt.Errorf("%w: %s", err, who)
			}
		}
		return err
	case errors.Is(err, unix.EACCES) || errors.Is(err, unix.EPERM):
		return fmt.Errorf("%w: ports below net.ipv4.ip_unprivileged_port_start, and the directories of others, take root: %w", err, ErrPermanent)
	case errors.Is(err, unix.EADDRNOTAVAIL):
		return fmt.Errorf("%w: no interface of this machine has that address", err)
	default:
		return err
	}
}

// answerer says who has an address, empty where that can't be told.
func answerer(s sockets.Socket) string {
	if s.Network != "tcp" {
		return ""
	}
	text := s.Address
	for _, all := range []string{":", "0.0.0.0:", "[::]:"} {
		if port, ok := strings.CutPrefix(text, all); ok {
			text = "127.0.0.1:" + port
			break
		}
	}
	addr, err := netip.ParseAddrPort(text)
	if err != nil {
		return ""
	}
	a, err := listeners.Ask(addr, 0, func() ([]int, error) { return nil, nil })
	if err != nil || a.Who != listeners.Stranger {
		return ""
	}
	return fmt.Sprintf("process %d (%s) does", a.PID, a.Command)
}
