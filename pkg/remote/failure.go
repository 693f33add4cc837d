package remote

import (
	"context"
	"errors"
	"io/fs"
	"slices"

	"reconciler.dev/reconciler/pkg/drivers"
)

// failure is an error as it travels: its text, the kinds that callers act on, and why a driver isn't there where that is what it says.
type failure struct {
	Message     string               `json:"message"`
	Kinds       []string             `json:"kinds,omitempty"`
	Unavailable *drivers.Unavailable `json:"unavailable,omitempty"`
}

// errKind is a kind of error and its name on the wire.
type errKind struct {
	name string
	err  error
}

// kinds are the errors that keep their kind across the wire.
func kinds() []errKind {
	return []errKind{
		{"moved", drivers.ErrMoved},
		{"permanent", drivers.ErrPermanent},
		{"unsupported", drivers.ErrUnsupported},
		{"unreachable", drivers.ErrUnreachable},
		{"conflict", drivers.ErrConflict},
		{"not-found", drivers.ErrNotFound},
		{"not-exist", fs.ErrNotExist},
		{"permission", fs.ErrPermission},
		{"canceled", context.Canceled},
		{"deadline", context.DeadlineExceeded},
	}
}

// pack makes err travel; nil stays nil.
func pack(err error) *failure {
	if err == nil {
		return nil
	}
	f := &failure{Message: err.Error()}
	for _, k := range kinds() {
		if errors.Is(err, k.err) {
			f.Kinds = append(f.Kinds, k.name)
		}
	}
	errors.As(err, &f.Unavailable)
	return f
}

// unpack is the error that travelled, as nil where there was none.
func (f *failure) unpack() error {
	if f == nil {
		return nil
	}
	e := &farError{message: f.Message}
	for _, k := range kinds() {
		if slices.Contains(f.Kinds, k.name) {
			e.is = append(e.is, k.err)
		}
	}
	if f.Unavailable != nil {
		e.is = append(e.is, f.Unavailable)
	}
	return e
}

// farError is an error of the far side.
type farError struct {
	message string
	is      []error
}

func (e *farError) Error() string   { return e.message }
func (e *farError) Unwrap() []error { return e.is }
