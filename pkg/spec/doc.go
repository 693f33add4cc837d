// Package spec says what a manifest is: its types, how it is read strictly, completed with defaults,
// validated, placed on hosts, compared and digested; and the words in which the other rooms speak of a daemon's state
// (Observed, Step, Condition).
//
// It imports nothing of this module, starts nothing, and contacts no host. What it reads from disk is what a
// manifest names: the manifest itself, its env files and its file contents.
package spec
