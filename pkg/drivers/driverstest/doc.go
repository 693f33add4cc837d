// Package driverstest is the conformance suite that every driver passes, and in-memory twins of a driver and a host that pass it too.
//
// Run proves what pkg/drivers promises, case by case; a new driver needs one call to it. Fake and Host stand in for the real ones wherever a test asks what the
// loop does rather than what an operating system does: they do no I/O, start no process, and work in a testing/synctest bubble.
//
// Nothing here may be imported outside tests, and the fake must never be more lenient than the drivers it stands for.
package driverstest
