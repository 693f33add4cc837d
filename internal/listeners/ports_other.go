//go:build !linux

package listeners

import "errors"

// Tables are the sockets of this machine.
type Tables struct{}

// Of tells nothing on this system.
func (*Tables) Of([]int) ([]Port, error) { return nil, errors.ErrUnsupported }
