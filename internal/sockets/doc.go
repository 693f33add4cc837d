// Package sockets keeps the sockets that daemons listen on open while no daemon has them, so that no connection is refused while one restarts. A holder does that: one process for each
// state directory, this program under another name, which opens sockets, hands out duplicates of them by SCM_RIGHTS (unix(7)) and never accepts a connection. It is started when it is
// needed, and ends when it holds nothing. When it is killed, the daemons go on with the sockets that they have, whoever looks after them gives another holder
// duplicates of those, and the next start of one has those opened again that can't be had.
//
// It must never hand a socket to another user, take the place of a socket that somebody answers on, or lose one while whoever it belongs to still wants it.
package sockets
