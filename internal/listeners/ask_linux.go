package listeners

import (
	"errors"
	"fmt"
	"io/fs"
	"net"
	"net/netip"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"

	"golang.org/x/sys/unix"

	"reconciler.dev/reconciler/internal/plaintext"
	"reconciler.dev/reconciler/internal/procfs"
)

// Ask tells whether the one who answers on addr is one of a tree's processes. main is one that is asked first, 0 for none; tree lists them all, and is called only
// where that isn't enough, a second time before somebody is called a stranger.
func Ask(addr netip.AddrPort, main int, tree func() ([]int, error)) (Answer, error) {
	sockets, err := answering(addr)
	if err != nil || len(sockets) == 0 {
		return Answer{}, err
	}
	if who := holds(main, sockets); who == Member {
		return Answer{Who: Member}, nil
	}
	if who, err := anyHolds(tree, sockets); who != Stranger {
		return Answer{Who: who}, err
	}
	owners, err := holders(sockets)
	if err != nil {
		return Answer{}, err
	}
	if len(owners) < len(sockets) {
		return Answer{Who: Hidden}, nil
	}
	// A member may have been made since the tree was looked at.
	if who, err := anyHolds(tree, sockets); who != Stranger {
		return Answer{Who: who}, err
	}
	pid := owners[sockets[0]]
	return Answer{Who: Stranger, PID: pid, Command: command(pid)}, nil
}

// answering returns the names that /proc/PID/fd has for the sockets that answer on addr.
func answering(addr netip.AddrPort) (names []string, err error) {
	if local, err := isLocal(addr.Addr()); err != nil || !local {
		return nil, err
	}
	best, err := bestOf(addr)
	for _, s := range best {
		names = append(names, fmt.Sprintf("socket:[%d]", s.Inode))
	}
	return names, err
}

// bestOf reads no table that can't matter: one without a socket that listens costs a walk through all that the kernel has room for.
func bestOf(addr netip.AddrPort) (best []Socket, err error) {
	target := addr.Addr().Unmap()
	var all []Socket
	if target.Is4() {
		if all, err = readTable("/proc/net/tcp"); err != nil {
			return nil, err
		}
		if best = Answering(all, addr); len(best) > 0 && best[0].Addr.Addr() == target {
			return best, nil
		}
	}
	six, err := readTable("/proc/net/tcp6")
	return Answering(append(all, six...), addr), err
}

func isLocal(a netip.Addr) (bool, error) {
	if a = a.Unmap().WithZone(""); a.IsLoopback() {
		return true, nil
	}
	own, err := net.InterfaceAddrs()
	return slices.ContainsFunc(own, func(n net.Addr) bool {
		p, err := netip.ParsePrefix(n.String())
		return err == nil && p.Addr() == a
	}), err
}

func readTable(path string) ([]Socket, error) { return readAs(path, Parse) }

func readAs(path string, parse parser) ([]Socket, error) {
	f, err := os.Open(path)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil // a kernel without IPv6
	}
	if err != nil {
		return nil, fmt.Errorf("read the table of sockets: %w", err)
	}
	defer f.Close()
	return parse(f)
}

// anyHolds tells whether a member of the tree has one of the sockets.
func anyHolds(tree func() ([]int, error), sockets []string) (Who, error) {
	members, err := tree()
	if err != nil {
		return Nobody, err
	}
	all := Stranger
	for _, pid := range members {
		switch holds(pid, sockets) {
		case Member:
			return Member, nil
		case Hidden:
			all = Hidden
		}
	}
	return all, nil
}

// holds tells whether a process has one of the sockets: Member, Stranger, or Hidden where it can't be seen.
func holds(pid int, sockets []string) Who {
	have, err := held(pid)
	switch {
	case slices.ContainsFunc(have, func(s string) bool { return slices.Contains(sockets, s) }):
		return Member
	case err != nil:
		return Hidden
	}
	return Stranger
}

// held lists the sockets that a process has open; none where there is no such process.
func held(pid int) (sockets []string, err error) {
	dir := filepath.Join("/proc", strconv.Itoa(pid), "fd")
	entries, err := os.ReadDir(dir)
	for _, e := range entries {
		to, linkErr := os.Readlink(filepath.Join(dir, e.Name()))
		switch {
		case linkErr == nil && strings.HasPrefix(to, "socket:"):
			sockets = append(sockets, to)
		case linkErr != nil && err == nil:
			err = linkErr
		}
	}
	if errors.Is(err, fs.ErrNotExist) || errors.Is(err, unix.ESRCH) {
		err = nil // the descriptor is closed by now, or the process has ended
	}
	return sockets, err
}

// holders finds a process for each of the sockets, as far as they can be seen.
func holders(sockets []string) (map[string]int, error) {
	owners := map[string]int{}
	for pid, err := range procfs.PIDs() {
		if err != nil {
			return nil, err
		}
		have, _ := held(pid) // what can't be seen has no owner
		for _, s := range have {
			if slices.Contains(sockets, s) {
				owners[s] = pid
			}
		}
		if len(owners) == len(sockets) {
			break
		}
	}
	return owners, nil
}

// command is what a process calls itself; it may lie.
func command(pid int) string {
	name, err := os.ReadFile(filepath.Join("/proc", strconv.Itoa(pid), "comm"))
	if line := plaintext.Line(string(name), 40); err == nil && line != "" {
		return line
	}
	return "a process"
}
