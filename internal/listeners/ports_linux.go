package listeners

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"strconv"
	"strings"

	"golang.org/x/sys/unix"
)

// Tables are the sockets of this machine on which somebody may answer, by network namespace, as they were when one was first asked about. The zero Tables are ready for use, by one
// goroutine at a time.
type Tables struct {
	spaces map[string]map[string]listed
}

// listed is a Socket, and what it is of.
type listed struct {
	Socket
	network string
}

// Of returns where processes listen, sorted. Those that have ended listen nowhere. An error says that what one has open can't be seen, because it is another user's.
func (t *Tables) Of(pids []int) ([]Port, error) {
	ports := []Port{}
	for _, pid := range pids {
		found, err := t.of(pid)
		if errors.Is(err, fs.ErrNotExist) || errors.Is(err, unix.ESRCH) {
			continue
		}
		if err != nil {
			return nil, fmt.Errorf("look at the sockets of process %d: %w", pid, err)
		}
		ports = append(ports, found...)
	}
	return tidy(ports), nil
}

func (t *Tables) of(pid int) (ports []Port, err error) {
	dir := "/proc/" + strconv.Itoa(pid)
	space, err := os.Readlink(dir + "/ns/net")
	if err != nil {
		return nil, err
	}
	sockets, known := t.spaces[space]
	if !known {
		if sockets, err = socketsIn(dir + "/net/"); err != nil {
			return nil, err
		}
		if t.spaces == nil {
			t.spaces = map[string]map[string]listed{}
		}
		t.spaces[space] = sockets
	}
	if len(sockets) == 0 {
		return nil, nil
	}
	names, err := held(pid)
	for _, name := range names {
		if s, listens := sockets[name]; listens {
			ports = append(ports, portOf(s.network, s.Addr, pid))
		}
	}
	return ports, err
}

// socketsIn returns the sockets of a network namespace by the names that /proc/PID/fd has for them. dir ends in a slash.
func socketsIn(dir string) (map[string]listed, error) {
	all := map[string]listed{}
	for _, k := range kinds() {
		found, err := readAs(dir+k.network, k.parse)
		if err != nil {
			return nil, err
		}
		for _, s := range found {
			network := k.network
			if s.Addr.Addr().Is4In6() {
				network = strings.TrimSuffix(network, "6")
			}
			all["socket:["+strconv.FormatUint(s.Inode, 10)+"]"] = listed{s, network}
		}
	}
	return all, nil
}
