// Package usage reads what daemons have used so far: from the files of their cgroups where they have one, from /proc where they don't, and from the platform on systems that have
// neither. It fills in samples, with a reason for what can't be known.
//
// It must never change anything, nor make a figure up: what can't be read stays nil. It reads many daemons in one pass, so a pass costs a few system calls for each.
package usage
