package main

import (
	"fmt"
	"strconv"
	"time"

	"reconciler.dev/reconciler/pkg/reconcile"
	"reconciler.dev/reconciler/pkg/spec"
)

// outgoing is the copy of a daemon that ran before, while an update has two run side by side: it goes when the new one is Ready.
type outgoing struct {
	// Slot is what $(SLOT) is in it.
	Slot       int        `json:"slot"`
	PID        int        `json:"pid,omitempty"`
	StartedAt  *time.Time `json:"startedAt,omitempty"`
	Generation int64      `json:"generation"`
	// LastExit is how it ended, where it doesn't run any more.
	LastExit *lastExit `json:"lastExit,omitempty"`
}

// outgoingOf is that copy; nil where there is none.
func outgoingOf(o spec.Observed) *outgoing {
	in := o.Outgoing
	if in == nil {
		return nil
	}
	out := &outgoing{Slot: 1 - o.Slot, Generation: in.Generation}
	switch {
	case in.Exit != nil:
		out.LastExit = exitOf(spec.Observed{Instance: &spec.Instance{Exit: in.Exit}})
	case in.ID != "":
		out.PID, out.StartedAt = in.PID, &in.StartedAt
	}
	return out
}

// goesOn says whether the copy runs that is to go.
func goesOn(o spec.Observed) bool {
	return o.Outgoing != nil && o.Outgoing.ID != "" && o.Outgoing.Exit == nil
}

// twoCopies says of a daemon, in a clause, that there are two; empty where there is one.
func twoCopies(o spec.Observed) string {
	if !goesOn(o) {
		return ""
	}
	return fmt.Sprintf("2 copies: process %d of generation %d goes when the new one is Ready", o.Outgoing.PID, o.Outgoing.Generation)
}

// copyRows are the copies of a daemon of which there are two, the new one first. The health of the one that is to go is nobody's business any more, so it isn't known.
func copyRows(v reconcile.View, now time.Time) [][]string {
	o := v.Observed
	if o.Outgoing == nil {
		return nil
	}
	row := func(which string, slot int, o spec.Observed, ready string) []string {
		in := o.Instance
		if in == nil || in.ID == "" {
			return []string{which, strconv.Itoa(slot), "", "", string(o.State), "", ready}
		}
		pid, since := strconv.Itoa(in.PID), in.Up
		if in.Exit != nil {
			pid, since = "", now.Sub(in.Exit.At)
		}
		return []string{which, strconv.Itoa(slot), pid, strconv.FormatInt(in.Generation, 10), phase(o), age(since), ready}
	}
	before, ready := spec.Observed{State: spec.Running, Instance: o.Outgoing}, unknown
	if !goesOn(o) {
		before.State, ready = spec.Exited, string(spec.False)
	}
	return [][]string{row("new", o.Slot, o, readiness(v)), row("outgoing", 1-o.Slot, before, ready)}
}

// readiness is the status of a daemon's condition Ready.
func readiness(v reconcile.View) string {
	for _, c := range v.Conditions {
		if c.Type == spec.Ready {
			return string(c.Status)
		}
	}
	return string(spec.ConditionUnknown)
}
