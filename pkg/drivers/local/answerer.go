package local

import (
	"context"
	"fmt"
	"net"
	"net/netip"

	"reconciler.dev/reconciler/internal/listeners"
	"reconciler.dev/reconciler/pkg/drivers"
	"reconciler.dev/reconciler/pkg/spec"
)

// checkAnswerer returns an error where what answered at an address of this machine is certainly not the daemon: then something else has its port. It looks once
// for each instance; where it can't be told, the check stands as it is.
func (h *Host) checkAnswerer(ctx context.Context, daemon string, at net.Addr) error {
	tcp, ok := at.(*net.TCPAddr)
	if !ok {
		return nil
	}
	tree, inst := h.running(ctx, daemon)
	if inst == nil || h.isSettled(daemon, inst.ID) {
		return nil
	}
	a, err := listeners.Ask(tcp.AddrPort(), inst.PID, func() ([]int, error) { return tree.PIDs(ctx, daemon) })
	switch {
	case err != nil || a.Who == listeners.Nobody: // it may be told the next time
		return nil
	case a.Who == listeners.Stranger:
		addr := netip.AddrPortFrom(tcp.AddrPort().Addr().Unmap(), tcp.AddrPort().Port())
		return fmt.Errorf("%s is answered by %s (pid %d), which isn't this daemon; if it is meant to answer for it, check with health.exec", addr, a.Command, a.PID)
	}
	h.settle(daemon, inst.ID)
	return nil
}

// running returns the instance of a daemon that runs under a driver which knows its processes; nil where there is none.
func (h *Host) running(ctx context.Context, daemon string) (drivers.Tree, *spec.Instance) {
	for _, d := range h.drivers {
		// The innermost driver suffices, and doesn't look at files.
		tree, ok := drivers.Find[interface {
			drivers.Driver
			drivers.Tree
		}](d)
		if !ok {
			continue
		}
		found, err := tree.Observe(ctx, daemon)
		if err == nil && found[0].State == spec.Running && found[0].Instance != nil {
			return tree, found[0].Instance
		}
	}
	return nil, nil
}

func (h *Host) isSettled(daemon, instance string) bool {
	h.mu.Lock()
	defer h.mu.Unlock()
	return h.answered[daemon] == instance
}

func (h *Host) settle(daemon, instance string) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.answered[daemon] = instance
}
