package drivers

import (
	"errors"
	"fmt"
	"net/netip"
	"strings"

	"golang.org/x/sys/unix"

	"reconciler.dev/reconciler/internal/listeners"
	"reconciler.dev/reconciler/internal/sockets"
)

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
