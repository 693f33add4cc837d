package remote

import (
	"testing"

	"reconciler.dev/reconciler/test/labhost"
)

// TestEightHosts is what is shown on eight hosts that systemd booted, each with its own address, key and sshd.
func TestEightHosts(t *testing.T) {
	s := newSite(t, 8, labhost.Systemd, nil, labhost.Bind{From: reconciler(t), To: agentAt}, labhost.Bind{From: testprogram(t), To: programAt})
	t.Run("conformance", func(t *testing.T) { testConformance(t, s) })
	t.Run("fleet", func(t *testing.T) { testFleet(t, s) })
	t.Run("keys", func(t *testing.T) { testKeys(t, s) })
	t.Run("disk", func(t *testing.T) { testDisk(t, s) })
	t.Run("the controller is killed", func(t *testing.T) { testControllerKilled(t, s) })
	t.Run("faults", func(t *testing.T) { testFaults(t, s) })
}
