package drivers

import (
	"fmt"
	"io/fs"

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
