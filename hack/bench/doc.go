// Command bench measures reconciler beside what the bare kernel costs in the same minute on the same machine, and fails where a bar is missed.
//
// Each figure is a ratio to a floor, because absolute times don't carry over from one machine to the next: the floor of a start is a loop of fork and
// exec, that of a restart a pidfd that wakes and an exec, that of a stop a signal and a wait. The workload is tinyd, a static C program that notes when its
// main() began, so there is no sampling error in a start. It must run on an otherwise idle machine to mean anything, and says how loaded it was.
//
// With -remote there are also eight hosts that systemd booted, behind an sshd each. The floors there are a bare Go program's: an exec for each host that checks all of its daemons, on
// connections that stay and on new ones. A pass of a run is timed from SIGUSR1, which has it look at everything, to its word that it has, and an exit from the kill to the run's line about it.
// Two hundred simulated hosts show what a fleet costs the controller in time, memory and bytes.
//
// All it makes lies in one temporary folder; the daemons that it starts are gone when it ends, also when it is interrupted.
package main
