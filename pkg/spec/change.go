package spec

import (
	"fmt"
	"slices"
)

// Class says what a change of a field costs a running daemon.
type Class int

// The classes, each including what the ones before it cost.
const (
	Live      Class = iota // nothing happens to the process
	Reloaded               // it rereads its files
	Restarted              // it is stopped and started
	Recreated              // it is removed and made anew
)

func classes() []string { return []string{"live", "reload", "restart", "recreate"} }

func (c Class) String() string { return classes()[c] }

// MarshalText writes the class as a word.
func (c Class) MarshalText() ([]byte, error) { return []byte(c.String()), nil }

// UnmarshalText reads the word.
func (c *Class) UnmarshalText(b []byte) error {
	i := slices.Index(classes(), string(b))
	if i < 0 {
		return fmt.Errorf("%q is not a change class: live, reload, restart or recreate", b)
	}
	*c = Class(i)
	return nil
}

// Change is one field that differs between what was applied and what is wanted.
type Change struct {
	// Field is its path as explain takes it, as in spec.health.url or spec.args[1].
	Field string `json:"field"`
	// Old and New are its values for people; empty where there is none. Secrets show as "(secret)".
	Old string `json:"old,omitempty"`
	New string `json:"new,omitempty"`
	// Class is what the change costs.
	Class Class `json:"class"`
}
