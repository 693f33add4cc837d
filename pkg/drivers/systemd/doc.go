// Package systemd runs daemons as units of systemd, of its system manager as root and of the user's own manager otherwise. The unit file is the record: it
// carries the stamp in a section that systemd ignores, is enabled, and so survives a reboot; systemd alone restarts what ends.
//
// What a unit says is pure (Render, ParseStamp, Limits) and needs no systemd. What the user wrote is never expanded: neither '$' nor '%' nor quotes nor
// backslashes mean anything in it. What the syntax of units can't carry at all, as a program's path with a quote in it or a variable with a control character,
// travels encoded, and this program, executed in the daemon's place, decodes it and becomes the daemon: see Tool.
//
// It must never touch a unit without our stamp, write a secret into a unit (they are world-readable), restart anything that systemd restarts, or believe that a limit
// holds because systemd accepted it.
package systemd
