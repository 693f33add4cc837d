// Package page is what a run shows to people in a browser: all hosts and daemons at a glance, and one daemon with its conditions, difference, events, log and last hour. It
// is read-only HTML made from a web.View, complete without JavaScript; with it, what changes is sent as server-sent events (see the HTML standard) and put into the page.
//
// What a daemon or its host can write reaches the browser as text alone: cleaned of what isn't printable, bounded, and escaped for the place it stands in. The package must
// never change anything, load anything from elsewhere, need an inline script or style, or show what isn't known, or isn't known any more, as if it were so now.
package page
