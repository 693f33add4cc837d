//go:build !linux

package web

// processFamilies writes nothing: what this process uses isn't asked of other kernels.
func processFamilies(*encoder) {}
