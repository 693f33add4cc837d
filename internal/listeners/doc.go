// Package listeners tells which process answers on a TCP port of this machine, so that a program that took somebody's port isn't taken for him.
//
// It must never say that a stranger answers where that isn't certain: whoever hides what he has open, and whatever lies behind an address of another machine, can't
// be told.
package listeners
