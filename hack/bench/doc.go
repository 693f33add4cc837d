// Command bench measures reconciler beside what the bare kernel costs in the same minute on the same machine, and fails where a bar is missed.
//
// Each figure is a ratio to a floor, because absolute times don't carry over from one machine to the next: the floor of a start is a loop of fork and
// exec, that of a restart a pidfd that wakes and an exec, that of a stop a signal and a wait. The workload is tinyd, a static C program that notes when its
// main() began, so there is no sampling error in a start. It must run on an otherwise idle machine to mean anything, and says how loaded it was.
//
// All it makes lies in one temporary folder; the daemons that it starts are gone when it ends, also when it is interrupted.
package main
