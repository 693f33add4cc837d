package sockets

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"path/filepath"
	"strconv"
	"time"

	"golang.org/x/sys/unix"
)

// Whoever wants sockets connects to the holder's own, says so in one message, gets one answer, and hangs up. A holder may be older than who asks it, and stays until it holds nothing: what
// is added to these messages must make sense to one that doesn't know it.

// request is what a holder is asked for. Without sockets, name wants none any more.
type request struct {
	// Family and Name are who asks.
	Family  string   `json:"family"`
	Name    string   `json:"name"`
	Sockets []Socket `json:"sockets,omitempty"`
	// Adopt says that the sockets come with the request.
	Adopt bool `json:"adopt,omitempty"`
	// All is to let go of what any of the family has.
	All bool `json:"all,omitempty"`
	// List asks what is held, and changes nothing.
	List bool `json:"list,omitempty"`
}

// answer comes with a duplicate of each socket that was asked for.
type answer struct {
	// Error says why there are none, Errno which error that was, if one of the kernel's.
	Error string     `json:"error,omitempty"`
	Errno unix.Errno `json:"errno,omitempty"`
	Held  []Holding  `json:"held,omitempty"`
}

// Holding is a socket that a holder holds.
type Holding struct {
	Socket string `json:"socket"`
	// Names are those that want it, sorted.
	Names []string `json:"names"`
}

const (
	// most is how many sockets one daemon may have: what the kernel passes in one message, SCM_MAX_FD.
	most = 253
	// longestMessage is more than that many sockets take.
	longestMessage = 128 << 10
	// answerLimit is how long the other side may take. A holder does nothing that waits.
	answerLimit = 10 * time.Second
)

// socketName is that of the holder's socket, in the directory of what is true until the reboot.
const socketName = "sockets.sock"

// atPath calls do with a name for a path that is short enough for a socket address, whatever the directory is called.
func atPath(path string, do func(name string) error) error {
	const longest = 107 // unix(7): sun_path, with its NUL
	if len(path) <= longest {
		return do(path)
	}
	dir, err := unix.Open(filepath.Dir(path), unix.O_PATH|unix.O_DIRECTORY|unix.O_CLOEXEC, 0)
	if err != nil {
		return &os.PathError{Op: "open", Path: filepath.Dir(path), Err: err}
	}
	defer unix.Close(dir)
	return do(filepath.Join("/proc/self/fd", strconv.Itoa(dir), filepath.Base(path)))
}

// send sends one message, with descriptors.
func send(c *net.UnixConn, message any, fds ...int) error {
	data, err := json.Marshal(message)
	if err != nil {
		return err
	}
	if len(data) > longestMessage {
		return fmt.Errorf("a message of %d bytes, and no more than %d are sent", len(data), longestMessage)
	}
	var rights []byte
	if len(fds) > 0 {
		rights = unix.UnixRights(fds...)
	}
	_, _, err = c.WriteMsgUnix(data, rights, nil)
	return err
}

// receive reads one message and the descriptors that come with it, which are the caller's to close.
func receive(c *net.UnixConn, message any) (fds []int, err error) {
	data, rights := make([]byte, longestMessage), make([]byte, unix.CmsgSpace(4*most))
	n, m, flags, _, err := c.ReadMsgUnix(data, rights)
	if err != nil {
		return nil, err
	}
	if n == 0 {
		return nil, io.EOF
	}
	if fds, err = descriptors(rights[:m]); err == nil && flags&(unix.MSG_TRUNC|unix.MSG_CTRUNC) != 0 {
		err = errors.New("the message came in part")
	}
	if err == nil {
		err = json.Unmarshal(data[:n], message)
	}
	if err != nil {
		closeAll(fds)
		return nil, err
	}
	return fds, nil
}

func descriptors(rights []byte) (fds []int, err error) {
	if len(rights) == 0 {
		return nil, nil
	}
	messages, err := unix.ParseSocketControlMessage(rights)
	if err != nil {
		return nil, err
	}
	for i := range messages {
		more, err := unix.ParseUnixRights(&messages[i])
		if err != nil {
			closeAll(fds)
			return nil, err
		}
		fds = append(fds, more...)
	}
	return fds, nil
}

func closeAll(fds []int) {
	for _, fd := range fds {
		unix.Close(fd)
	}
}

// peer is the process on the other side: of a connection that it accepted, the one that listens.
func peer(c *net.UnixConn) (who *unix.Ucred, err error) {
	raw, err := c.SyscallConn()
	if err != nil {
		return nil, err
	}
	var asked error
	if err := raw.Control(func(fd uintptr) { who, asked = unix.GetsockoptUcred(int(fd), unix.SOL_SOCKET, unix.SO_PEERCRED) }); err != nil {
		return nil, err
	}
	if asked != nil {
		return nil, fmt.Errorf("ask who it is: %w", asked)
	}
	return who, nil
}

// checkPeer refuses whoever runs as another user than we do.
func checkPeer(c *net.UnixConn) error {
	who, err := peer(c)
	if err != nil {
		return err
	}
	if who.Uid != uint32(os.Geteuid()) {
		return fmt.Errorf("process %d is user %d's, and sockets are handed to user %d only", who.Pid, who.Uid, os.Geteuid())
	}
	return nil
}
