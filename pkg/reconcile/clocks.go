package reconcile

import "time"

// Clocks is one reading of two clocks: Awake stands still while the machine sleeps, Total goes on. Only differences
// between two readings mean anything.
type Clocks struct{ Awake, Total time.Duration }

// sleepTolerance is how far two readings may drift apart without a sleep between them.
const sleepTolerance = time.Second

// Slept is how long the machine slept between two readings, 0 where it didn't.
func Slept(before, after Clocks) time.Duration {
	asleep := (after.Total - before.Total) - (after.Awake - before.Awake)
	if asleep <= sleepTolerance {
		return 0
	}
	return asleep
}
