package link

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"syscall"

	"reconciler.dev/reconciler/internal/plaintext"
	"reconciler.dev/reconciler/pkg/drivers"
)

// problem is an error with a text of its own and the kinds that callers act on.
type problem struct {
	text  string
	kinds []error
}

func (p *problem) Error() string   { return p.text }
func (p *problem) Unwrap() []error { return p.kinds }

// unreachable says what happened on the way to a host, and why.
func unreachable(why error, format string, args ...any) error {
	return &problem{text: fmt.Sprintf(format, args...), kinds: []error{drivers.ErrUnreachable, why}}
}

// refused is what trying again can't help.
func refused(why error, format string, args ...any) error {
	return &problem{text: fmt.Sprintf(format, args...), kinds: []error{drivers.ErrUnreachable, drivers.ErrPermanent, why}}
}

// clean returns the text of an error in whose making the far side may have had a hand.
func clean(err error) string { return plaintext.Line(err.Error(), 400) }

// explain says why a connection couldn't be made, and what to look at.
func explain(err error) string {
	var dns *net.DNSError
	switch {
	case errors.As(err, &dns) && dns.IsNotFound:
		return "there is no such host: correct its address, or make its name known"
	case errors.As(err, &dns):
		return clean(dns) + ": its name couldn't be looked up"
	case errors.Is(err, syscall.ECONNREFUSED):
		return "connection refused: nothing listens there; start sshd, or correct the address or the port"
	case errors.Is(err, syscall.EHOSTUNREACH), errors.Is(err, syscall.ENETUNREACH):
		return clean(err) + ": there is no way there from here; see to its address and the network"
	}
	return clean(err)
}

// ended says how a connection that was up went down.
func ended(err error) string {
	if err == nil || errors.Is(err, io.EOF) {
		return "the host closed the connection"
	}
	return clean(err)
}

// stopped is the error of what was attempted where the caller's ctx is what ended it; nil where that goes on.
func stopped(ctx context.Context, attempted string) error {
	cause := context.Cause(ctx)
	switch {
	case cause == nil || errors.Is(cause, errTimeout):
		return nil
	case errors.Is(cause, context.DeadlineExceeded):
		return unreachable(cause, "%s: no answer in the time that there was", attempted)
	}
	return fmt.Errorf("%s: %w", attempted, cause)
}
