package remote

import "testing"

func testFleet(t *testing.T, s *site) {}
