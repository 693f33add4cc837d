package main

// setUmask: Windows has no umask.
func setUmask() {}
