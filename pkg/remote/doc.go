// Package remote is the twin of a machine's drivers.Host behind a stream of bytes: Serve answers for a machine on the stdio of `reconciler agent`, and Connect makes of such a
// stream a Host whose every method is asked there. What it says over the stream are frames: calls and results with ids, cancels, pings, and parts of answers that never end,
// with credit, so that one slow reader holds up nobody else.
//
// It must never know how the stream comes about, decide anything about daemons, or believe what a far side says of more than was asked: lengths, names and amounts are
// checked, and one that floods or lies loses its link, and nothing else. A lost link is ErrUnreachable and never "absent".
package remote
