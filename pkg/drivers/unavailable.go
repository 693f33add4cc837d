package drivers

import "reconciler.dev/reconciler/pkg/spec"

// Unavailable is the error of a driver that a host can't carry. It wraps ErrUnsupported.
type Unavailable struct {
	Kind spec.DriverKind `json:"driver"`
	// Reason is what was found, as in "systemd isn't the first process of this machine".
	Reason string `json:"reason"`
	// Remedy is what mends it, a command where there is one; empty where nothing does.
	Remedy string `json:"remedy,omitempty"`
}

// Error is the reason, and the remedy where there is one.
func (u *Unavailable) Error() string {
	return "the " + string(u.Kind) + " driver: " + u.Advice()
}

// Advice is Error without the driver's name.
func (u *Unavailable) Advice() string {
	if u.Remedy == "" {
		return u.Reason
	}
	return u.Reason + "; to mend it: " + u.Remedy
}

// Unwrap returns ErrUnsupported.
func (*Unavailable) Unwrap() error { return ErrUnsupported }
