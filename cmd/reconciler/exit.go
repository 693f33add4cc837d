package main

import (
	"context"
	"errors"
	"fmt"
	"reflect"
	"strings"

	"reconciler.dev/reconciler/pkg/drivers"
	"reconciler.dev/reconciler/pkg/reconcile"
	"reconciler.dev/reconciler/pkg/spec"
)

// The exit codes, a promise to scripts. exitHelp says the same to people. diff has its own, as diff(1) has them: 0 for no differences, 1 for differences and 2
// for every error.
const (
	exitOK          = 0
	exitError       = 1
	exitInput       = 2   // the command line or a manifest is wrong: nothing was done
	exitTimeout     = 3   // the time given ran out
	exitPartial     = 4   // some daemons or hosts were done, others failed or couldn't be reached
	exitRefused     = 5   // a guard refused: the prune guard, a plan that no longer holds, or a host's key that nobody trusts
	exitConflict    = 6   // another set, or a run that is alive, owns the name or the set
	exitInterrupted = 130 // ^C or SIGTERM; what was under way was finished
)

const exitHelp = `Exit codes:
  0    done
  1    it failed; for diff: there are differences
  2    the command line or a manifest is wrong, and nothing was done; for diff: any error
  3    the time given ran out
  4    some daemons were done and others failed; or some hosts can't be reached
  5    a guard refused: the prune guard, a plan that no longer holds, or a host's key that nobody trusts
  6    another set, or a run that is alive, owns the daemon or the set
  130  interrupted, after the step in hand was finished`

// exit is an error that says which code the command ends with. With a nil err nothing is printed: the output said it all.
type exit struct {
	code int
	err  error
}

func (e *exit) Error() string {
	if e.err == nil {
		return fmt.Sprintf("exit %d", e.code)
	}
	return e.err.Error()
}

func (e *exit) Unwrap() error { return e.err }

func usagef(format string, a ...any) error {
	return &exit{exitInput, fmt.Errorf(format, a...)}
}

// exitCode is the code that err ends the command with.
func exitCode(err error) int {
	var e *exit
	var bad spec.Problems
	switch {
	case err == nil:
		return exitOK
	case errors.As(err, &e):
		return e.code
	case errors.As(err, &bad):
		return exitInput
	case errors.Is(err, drivers.ErrConflict):
		return exitConflict
	case errors.Is(err, context.DeadlineExceeded), errors.Is(err, reconcile.ErrTimeout):
		return exitTimeout
	case errors.Is(err, context.Canceled):
		return exitInterrupted
	}
	return exitError
}

// outcome is the error that a verb over items ends with. err is what the engine returned, which has the errors of the items in it; where it is nil, as after a
// review, theirs are joined. The code tells a partial failure from a whole one.
func outcome(all ...done) error {
	var errs []error
	good, code := 0, 0
	blame := func(err error) {
		if c := exitCode(err); code == 0 || code == c {
			code = c
		} else {
			code = exitError
		}
	}
	partial := len(all) > 1
	for _, d := range all {
		var bad []error
		for _, it := range d.items {
			switch {
			case it.Err != nil:
				bad = append(bad, it.Err)
				blame(it.Err)
			case !d.lost:
				good++
			}
		}
		partial = partial || bad != nil
		switch {
		case d.err != nil:
			if bad == nil {
				blame(d.err)
			}
			errs = append(errs, d.located(d.err))
		case bad != nil:
			errs = append(errs, d.located(errors.Join(bad...)))
		default:
			good++
		}
	}
	switch {
	case errs == nil:
		return nil
	case good > 0 && partial:
		code = exitPartial
	}
	return &exit{code, errors.Join(errs...)}
}

// located is err, which may be several, each with the host that it came from, where it doesn't say so itself.
func (d done) located(err error) error {
	all := apart(err)
	for i, e := range all {
		if d.host != "" && !strings.Contains(e.Error(), d.host) {
			e = fmt.Errorf("%s: %w", d.host, e)
		}
		all[i] = paragraph{e}
	}
	return errors.Join(all...)
}

// apart are the errors that errors.Join made one of.
func apart(err error) (all []error) {
	if reflect.TypeOf(err) != reflect.TypeOf(errors.Join(errors.ErrUnsupported)) {
		return []error{err}
	}
	for _, e := range err.(interface{ Unwrap() []error }).Unwrap() {
		all = append(all, apart(e)...)
	}
	return all
}

// paragraph is an error whose further lines stand under its first.
type paragraph struct{ error }

func (p paragraph) Error() string { return strings.ReplaceAll(p.error.Error(), "\n", "\n  ") }
func (p paragraph) Unwrap() error { return p.error }
