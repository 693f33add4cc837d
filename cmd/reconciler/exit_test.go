package main

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"

	"reconciler.dev/reconciler/pkg/drivers"
	"reconciler.dev/reconciler/pkg/reconcile"
	"reconciler.dev/reconciler/pkg/spec"
)

func TestExitCode(t *testing.T) {
	wrap := func(err error) error { return fmt.Errorf("start daemon web: %w", err) }
	for _, c := range []struct {
		name string
		err  error
		want int
	}{
		{"done", nil, exitOK},
		{"any error", errors.New("x"), exitError},
		{"not found", wrap(drivers.ErrNotFound), exitError},
		{"problems of manifests", wrap(spec.Problems{{Message: "x"}}), exitInput},
		{"usage", usagef("x"), exitInput},
		{"the deadline of a context", wrap(context.DeadlineExceeded), exitTimeout},
		{"the engine's timeout", wrap(reconcile.ErrTimeout), exitTimeout},
		{"another owner", wrap(drivers.ErrConflict), exitConflict},
		{"a cancelled context", wrap(context.Canceled), exitInterrupted},
		{"a guard", refused(errors.New("too many")), exitRefused},
		{"joined errors: the explicit code", errors.Join(errors.New("x"), refused(errors.New("too many"))), exitRefused},
	} {
		if got := exitCode(c.err); got != c.want {
			t.Errorf("%s: exit %d, want %d", c.name, got, c.want)
		}
	}
}

func TestOutcome(t *testing.T) {
	good := reconcile.Item{Name: "good"}
	bad := func(err error) reconcile.Item { return reconcile.Item{Name: "bad", Err: err} }
	late, held := fmt.Errorf("web: %w", reconcile.ErrTimeout), fmt.Errorf("web: %w", drivers.ErrConflict)
	for _, c := range []struct {
		name  string
		items []reconcile.Item
		err   error
		want  int
	}{
		{"nothing to do", nil, nil, exitOK},
		{"all good", []reconcile.Item{good, good}, nil, exitOK},
		{"one of two", []reconcile.Item{good, bad(late)}, nil, exitPartial},
		{"all late", []reconcile.Item{bad(late), bad(late)}, nil, exitTimeout},
		{"all held", []reconcile.Item{bad(held)}, held, exitConflict},
		{"different failures", []reconcile.Item{bad(held), bad(late)}, nil, exitError},
		{"good items and an error beside them", []reconcile.Item{good}, errors.New("disk full"), exitError},
		{"no items", nil, held, exitConflict},
	} {
		if got := exitCode(outcome(done{items: c.items, err: c.err})); got != c.want {
			t.Errorf("%s: exit %d, want %d", c.name, got, c.want)
		}
	}
}

// TestHelpTellsExitCodes holds the help to the constants.
func TestHelpTellsExitCodes(t *testing.T) {
	for _, code := range []int{exitOK, exitError, exitInput, exitTimeout, exitPartial, exitRefused, exitConflict, exitInterrupted} {
		if !strings.Contains(exitHelp, fmt.Sprintf("\n  %-4d ", code)) {
			t.Errorf("the help says nothing of exit code %d", code)
		}
	}
}

// TestAnErrorOfSeveralLinesStandsTogether so that nobody takes the last lines of one daemon's log for the next one's.
func TestAnErrorOfSeveralLinesStandsTogether(t *testing.T) {
	web, db := errors.New("daemon web: not Ready\nits last log lines:\n  | oh"), errors.New("daemon db: gone")
	err := done{host: "gpu-1"}.located(errors.Join(web, errors.Join(db)))
	want := "gpu-1: daemon web: not Ready\n  its last log lines:\n    | oh\ngpu-1: daemon db: gone"
	if err.Error() != want || !errors.Is(err, web) || !errors.Is(err, db) {
		t.Errorf("got\n%s\nwant\n%s", err, want)
	}
}
