package main

import (
	"context"
	"errors"
	"fmt"
	"math"
)

const (
	remoteRounds  = 20 // of the floors and of ours
	roundTrips    = 200
	remoteKills   = 30 // of daemons of all hosts
	exitSeen      = 5  // ms that a run may take to see an exit, beside a round trip
	ansibleRounds = 3  // each takes as long as many of those
)

// measure takes all figures by turns, so that all see the same machine.
func (s *site) measure(ctx context.Context) (rows []row, err error) {
	plain, err := s.dialAll(ctx)
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, plain.close()) }()
	var fresh, applied figures
	for range remoteRounds {
		took, err := s.freshFloor(ctx)
		if err != nil {
			return nil, err
		}
		fresh.took(took)
		if took, err = s.do(ctx, "apply", "-f", s.manifests); err != nil {
			return nil, err
		}
		applied.took(took)
	}
	checks := len(s.hosts) * len(s.names)
	rows = append(rows, row{what: fmt.Sprintf("apply: nothing to do, %d on %d hosts, from a fresh process", checks, len(s.hosts)), unit: "ms", ours: applied, floor: fresh, bar: 1.5, peer: "a bare program's dial and exec"})
	slow, err := s.ansible(ctx)
	if err != nil {
		return nil, err
	}
	if len(slow) > 0 {
		rows = append(rows, row{what: fmt.Sprintf("the same beside Ansible's %d checks", checks), unit: "ms", ours: applied, floor: slow, bar: 0.05, peer: "16162 ms ansible, warm"})
	}
	programs, err := s.programRow(ctx)
	if err != nil {
		return nil, err
	}
	edited, err := s.edits(ctx)
	if err != nil {
		return nil, err
	}
	rows = append(append(rows, programs...), edited...)
	connected, err := s.connectedRows(ctx, plain) // the last, for it leaves daemons that are yet to be started again
	return append(connected, rows...), err
}

// connectedRows are the figures of a run over links that stay, beside those of connections that stay.
func (s *site) connectedRows(ctx context.Context, plain *bare) (rows []row, err error) {
	run, err := s.connect(ctx)
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, run.end()) }()
	if err := pause(ctx, quiet); err != nil { // what it found has proved itself
		return nil, err
	}
	checks := len(s.hosts) * len(s.names)
	var persistent, passes, exits figures
	for range remoteRounds {
		took, err := plain.persistentFloor()
		if err != nil {
			return nil, err
		}
		persistent.took(took)
		if took, err = run.pass(ctx, checks, len(s.hosts)); err != nil {
			return nil, err
		}
		passes.took(took)
	}
	there, err := plain.roundTripFloor(roundTrips)
	if err != nil {
		return nil, err
	}
	for k := range remoteKills {
		took, err := run.exit(ctx, s.hosts[k%len(s.hosts)], s.names[k/len(s.hosts)%len(s.names)])
		if err != nil {
			return nil, err
		}
		exits.took(took)
		if err := pause(ctx, between); err != nil {
			return nil, err
		}
	}
	return []row{
		{what: "a bare program: a byte to a host and back", unit: "ms", ours: there},
		{what: fmt.Sprintf("run: a pass with nothing to do, %d on %d hosts, connected", checks, len(s.hosts)), unit: "ms", ours: passes, floor: persistent, bar: 1, peer: "a bare program's exec for each host"},
		{what: "run: kill -9 on a host to the run's word of it", unit: "ms", ours: exits, bar: math.Round(100*(there.median()+exitSeen)) / 100},
	}, nil
}

// ansible measures the same checks by Ansible, warm. Where there is no Ansible it says so, and there are no figures.
func (s *site) ansible(ctx context.Context) (took figures, err error) {
	if !ansibleInstalled() {
		s.b.progress("SKIPPED: the figure of Ansible, because there is no ansible-playbook here: hack/deps.sh ansible installs it")
		return nil, nil
	}
	a, err := s.newAnsible()
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, a.end(context.WithoutCancel(ctx))) }()
	if _, err := a.run(ctx); err != nil { // it makes its connections
		return nil, err
	}
	for range ansibleRounds {
		once, err := a.run(ctx)
		if err != nil {
			return nil, err
		}
		took.took(once)
	}
	return took, nil
}
