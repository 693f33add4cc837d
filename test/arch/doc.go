// Package arch holds the tests that keep the module in its shape: who may import whom, where a process may be started, what must be documented. They read
// the sources of every platform as text and need neither a build nor a tool.
//
// A rule that can't fail is worth nothing, so each one carries sources that it must refuse and sources that it must accept. An exception stands in the
// rule's allow list with its reason, and one that isn't needed any more fails the test too.
package arch
