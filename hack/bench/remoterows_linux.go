package main

import (
	"context"
	"errors"
	"fmt"
)

const (
	remoteRounds  = 20 // of the floors and of ours
	roundTrips    = 200
	ansibleRounds = 3 // each takes as long as many of those
)

// measure takes all figures by turns, so that all see the same machine.
func (s *site) measure(ctx context.Context) (rows []row, err error) {
	plain, err := s.dialAll(ctx)
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, plain.close()) }()
	var persistent, fresh, applied figures
	for range remoteRounds {
		took, err := plain.persistentFloor()
		if err != nil {
			return nil, err
		}
		persistent.took(took)
		if took, err = s.freshFloor(ctx); err != nil {
			return nil, err
		}
		fresh.took(took)
		if took, err = s.do(ctx, "apply", "-f", s.manifests); err != nil {
			return nil, err
		}
		applied.took(took)
	}
	there, err := plain.roundTripFloor(roundTrips)
	if err != nil {
		return nil, err
	}
	checks := len(s.hosts) * len(s.names)
	rows = []row{
		{what: "a bare program: a byte to a host and back", unit: "ms", ours: there},
		{what: fmt.Sprintf("a bare program: %d checks, an exec for each host, connected", checks), unit: "ms", ours: persistent},
		{what: fmt.Sprintf("apply: nothing to do, %d on %d hosts, from a fresh process", checks, len(s.hosts)), unit: "ms", ours: applied, floor: fresh, bar: 1.5, peer: "a bare program's dial and exec"},
	}
	slow, err := s.ansible(ctx)
	if err != nil {
		return nil, err
	}
	if len(slow) > 0 {
		rows = append(rows, row{what: fmt.Sprintf("the same beside Ansible's %d checks", checks), unit: "ms", ours: applied, floor: slow, bar: 0.05, peer: "16162 ms ansible, warm"})
	}
	return rows, nil
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
