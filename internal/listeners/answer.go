package listeners

// Answer is who answers on an address.
type Answer struct {
	Who Who
	// PID and Command are those of a Stranger.
	PID     int
	Command string
}

// Who says what is known of the one that answers.
type Who int

// The kinds of answer.
const (
	// Nobody: no socket of this machine was found that would answer.
	Nobody Who = iota
	// Member: a process that was asked about has the socket.
	Member
	// Hidden: whoever has the socket can't be seen.
	Hidden
	// Stranger: none of the processes asked about has the socket, and somebody else does.
	Stranger
)
